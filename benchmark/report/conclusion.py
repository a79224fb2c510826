"""What a suite ends with: its table, its pictures, and the same on MLflow's pages."""

from __future__ import annotations

import shlex
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from tqdm import tqdm

from ..figures.palette import MOST_NAMED
from ..ranking.boards import board_of
from ..ranking.leaderboard import rank_mitigations
from ..running.data_files import warn_of_older
from ..store.frames import flat
from ..store.mirror import Mirror, Undelivered
from ..store.records import RecordStore
from ..store.server import Away
from ..suite.sweep import Suite
from .curves import save, sweep_figure

TITLE = "mean and 95 % t interval over seeds"


def conclude(suite: Suite, home: Path, uri: str, rule: str, away: str = "") -> tuple[str, str]:
    """Writes the suite's table as CSV and Markdown, and its picture, and shows tables and pictures in MLflow.

    Args:
        away: why the tracking server could not be used just now; it is then not asked again.

    Returns:
        The text for the terminal, and why MLflow's pages lack the tables; empty if they do not.

    Raises:
        OSError: the folder of results cannot be written.
    """
    store = RecordStore(home)
    runs = flat([*store.all(suite.keys()), *store.evaluated(suite.dataset_keys())])
    if runs.empty:
        return f"no run of {suite.name} is recorded in {home}", ""
    home.mkdir(parents=True, exist_ok=True)
    render = board_of(suite, runs, rule)
    for form in ("csv", "md"):
        (home / f"{suite.name}.{form}").write_text(render(form))
    lines, picture = [render("table")], ""
    if suite.sweeps and (runs["status"] == "finished").any():
        save(sweep_figure(runs, f"{suite.name}: {TITLE}", _best(suite, runs, rule)), home / suite.name)
        picture = f" and {suite.name}.png"
    unshown = away or show(suite, runs, Mirror(uri, suite.name, store), rule)
    done = int((~runs["status"].isin(["failed", "evaluated"])).sum())
    where = "" if unshown else f", shown in MLflow at {Mirror(uri, suite.name, store).address}"
    lines.append(
        f"{done} of {len(suite.keys())} runs recorded in {_near(home)}/records{where}\n"
        f"wrote {suite.name}.csv, {suite.name}.md{picture} in {_near(home)}"
    )
    return "\n".join(lines), unshown


def show(suite: Suite, runs: pd.DataFrame, mirror: Mirror, rule: str) -> str:
    """Puts description, tables and pictures on MLflow's pages; why it could not, or an empty text."""
    try:
        mirror.describe(suite.description)
        with TemporaryDirectory() as folder:
            sweeps = list(runs.groupby("sweep_key", sort=False))
            for sweep_key, own in tqdm(sweeps, desc="MLflow's pictures", disable=None, leave=False):
                stem, figure = Path(folder) / "over-strength", None
                if suite.sweeps and (own["status"] == "finished").any():
                    save(sweep_figure(own, TITLE, _best(suite, own, rule)), stem, [".png"])
                    figure = stem.with_suffix(".png")
                mirror.summarise(str(sweep_key), board_of(suite, own, rule)("md"), figure)
    except Away as error:
        return str(error)
    return ""


def deliver(suite: Suite, named: str, home: Path, uri: str, rule: str = "knee") -> tuple[str, Undelivered, str]:
    """Logs what a tracking server lacks of a suite, and shows its tables there.

    Args:
        named: the suite as commands know it, for the message.

    Returns:
        A line that says what was done, the records that are still not there, and why the tables are not.

    Raises:
        ValueError: no run of the suite is in the folder.
    """
    store = RecordStore(home)
    mirror, records = Mirror(uri, suite.name, store), store.all(suite.keys())
    if not records:
        raise ValueError(f"no run of suite {suite.name!r} is in {home}: `rrrbench run {shlex.quote(named)}` makes them")
    warn_of_older(store, suite.stacks(), records)
    try:
        mirror.restore_experiment()
    except Away as error:
        return "", Undelivered(records, str(error)), ""
    with tqdm(total=len(records), desc="records", disable=None) as bar:
        undelivered = mirror.deliver(records, anew=True, progress=bar.update)
    unshown = "" if undelivered.reason else show(suite, flat(records), mirror, rule)
    return f"{len(records) - len(undelivered)} records of {suite.name} are in {mirror.address}", undelivered, unshown


def _best(suite: Suite, runs: pd.DataFrame, rule: str) -> pd.DataFrame | None:
    """The board by which a picture names the best; None where all have a name, or where explainers are ranked."""
    few = runs["mitigation"].nunique() <= MOST_NAMED
    return None if few or suite.explainers else rank_mitigations(runs, rule)


def _near(path: Path) -> Path:
    """A path as seen from the working directory, if it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
