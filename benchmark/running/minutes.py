"""The minutes of `rrrbench list suites`: a csv of what `rrrbench run SUITE --executor processes --dry-run` says.

`make suite-minutes` writes benchmark/suites/minutes.csv, with the data of all suites.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from .. import suites
from ..suite.loading import load_suite
from .executors.processes import Processes
from .session import Session

CORES = 2


def main() -> None:
    """Writes a row for every suite whose data are here and whose time can be told."""
    rows = csv.writer(sys.stdout, lineterminator="\n")
    rows.writerow(["suite", "minutes"])
    for name in suites.names():
        with TemporaryDirectory() as home:
            forecast = Session(load_suite(name), Path(home), executor=Processes(workers=CORES)).forecast()
        if forecast.seconds is None or forecast.missing:
            missing = ", ".join(own.dataset for own in forecast.missing)
            sys.stderr.write(f"{name}: {f'without {missing}' if missing else 'nothing tells how long it takes'}\n")
        else:
            rows.writerow([name, f"{float(f'{forecast.seconds / 60:.2g}'):g}"])
            sys.stdout.flush()


if __name__ == "__main__":
    main()
