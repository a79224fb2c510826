"""What a Python session calls: `run` and `sweep`, and the finished runs as tables, a figure and pages."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..datasets import own_code
from ..datasets.image_folder import recipe_of
from ..datasets.keywords import knowing_its_keywords
from ..datasets.masks import Corruption
from ..datasets.recipe import Recipe
from ..methods.base import mitigations as known
from .engine.plan import Engine
from .networks import NetworkRecipe
from .ranking.boards import board_of
from .ranking.leaderboard import rank_mitigations
from .report.conclusion import TITLE, show
from .report.curves import sweep_figure
from .report.recorded import Recorded, recorded_as
from .report.site import write_site
from .running.device import Device, torch_device
from .running.executors import Executor, Settings, executors
from .running.session import Session
from .store.frames import flat
from .store.home import home as usual_home
from .store.mirror import Mirror
from .store.record import Record
from .store.records import RecordStore
from .store.server import tracking_uri
from .suite.loading import load_suite, parse_suite
from .suite.sweep import Suite

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STRENGTHS = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
"""Of a mitigation that is named without strengths."""
Mitigated = str | tuple[str, Sequence[float | str]] | Mapping[str, Any]
"""A mitigation: its name, its name with strengths, or a table as a suite's file has it."""


@dataclass(frozen=True)
class Runs:
    """The runs of a suite, in a folder of results.

    Attributes:
        home: the folder of results.
        failed: the runs that raised, with their tracebacks; they are tried again by the next call.
    """

    suite: Suite
    home: Path
    failed: tuple[Record, ...] = ()

    @property
    def records(self) -> pd.DataFrame:
        """A row a run, with a column a metric; and a row for every network that was evaluated on the same data."""
        store = RecordStore(self.home)
        return flat([*store.all(self.suite.keys()), *store.evaluated(self.suite.dataset_keys())])

    def leaderboard(self, rule: str = "knee") -> pd.DataFrame:
        """The mitigations, best first, each at the strength that the rule chooses (RULES.md).

        Raises:
            UnknownRule: no rule has this name.
        """
        return rank_mitigations(self.records, rule)

    def figure(self) -> Figure:
        """Accuracy under shift and reliance on the shortcut over strength."""
        return sweep_figure(self.records, f"{self.suite.name}: {TITLE}")

    def report(self, folder: str | Path) -> Path:
        """Writes static pages, which open from the disk, and returns their index."""
        write_site([self._recorded()], Path(folder), self.home)
        return Path(folder) / "index.html"

    def _recorded(self) -> Recorded:
        return recorded_as(self.suite, RecordStore(self.home).all(self.suite.keys()), self.home)

    def __str__(self) -> str:
        return board_of(self.suite, self.records, "knee")("table")

    def _repr_html_(self) -> str:
        """The leaderboard, as a notebook shows it."""
        return f"<pre>{self}</pre>"


@knowing_its_keywords()
def run(
    suite: str | Path | Suite,
    *,
    device: Device = "auto",
    engine: Engine = "auto",
    executor: str | Mapping[str, Any] | Executor = "here",
    home: str | Path | None = None,
    own: str | Path | Iterable[str | Path] = (),
    log: bool = True,
) -> Runs:
    """Trains what is not finished of a suite; interrupt it as you like, the same call goes on where it was.

    Args:
        suite: its name, the path of its TOML file, or the suite itself.
        device: where runs are trained.
        engine: how a stack is trained; changes no result but by rounding.
        executor: where stacks are trained: `here`, `processes`, `auto`, `ray`, `slurm`, or a table with its parameters.
        home: the folder of results; the folder of `rrrbench run` if not given.
        own: Python files whose classes and functions the suite names.
        log: shows the runs in MLflow.

    Raises:
        UnknownName: there is no such suite, dataset, network, mitigation or executor.
        BadSuite: a suite that cannot be run; the message says where and why.
        MissingData: files of a dataset are not there.
    """
    if not isinstance(suite, str | Path | Suite):
        raise TypeError(f"suite = {suite!r}: give a suite's name, such as 'bench', or the path of its TOML file")
    own_code.load(_paths(own))
    loaded = suite if isinstance(suite, Suite) else load_suite(str(suite))
    folder = usual_home() if home is None else Path(home).expanduser().absolute()
    uri = tracking_uri(folder)
    where = executors.resolve(executor)
    settings = Settings(device if where.elsewhere else torch_device(device), engine)
    session = Session(loaded, folder, uri, settings, where, log=log)
    with _environment_as_it_was():
        outcome = session.run()
        runs = Runs(loaded, folder, outcome.failed)
        unshown = str(outcome.undelivered)
        if log and not unshown:
            unshown = show(loaded, runs.records, Mirror(uri, loaded.name, RecordStore(folder)), "knee")
    if unshown:
        warnings.warn(f"not in MLflow ({unshown}); nothing is lost: the same call delivers it", stacklevel=2)
    for record in outcome.failed:
        reason = record.error.strip().splitlines()[-1]
        warnings.warn(f"{record.mitigation} at {record.strength:g}, seed {record.seed}, failed: {reason}", stacklevel=2)
    return runs


@knowing_its_keywords(run)
def sweep(
    dataset: str | Path | Recipe | Mapping[str, Any],
    network: str | NetworkRecipe | Mapping[str, Any] = "mlp",
    mitigations: Sequence[Mitigated] = ("erm", "rrr"),
    *,
    seeds: int | Sequence[int] = 5,
    training: Mapping[str, Any] | None = None,
    controls: Sequence[Corruption | int] = (),
    name: str = "sweep",
    **options: Any,
) -> Runs:
    """Trains mitigations on one dataset with one network, and compares them.

    Args:
        dataset: a name with its base (`decoy-mnist`), a folder of images, a recipe, or a table as in a suite's file.
        network: a name, a recipe, or a table.
        mitigations: each a name, `("rrr", [0.1, 1.0])`, or a table; without strengths, `STRENGTHS` are taken where
            the mitigation has a strength.
        seeds: the seeds, or how many from 0.
        training: settings that differ from their defaults, e.g. `{"epochs": 20}`.
        controls: wrong masks to compare with: a corruption of the masks, or a number of inputs with masks.
        name: of MLflow's experiment.
        options: as in `run`.

    Raises:
        UnknownName, BadSuite, MissingData: as in `run`.
    """
    _require_list("mitigations", mitigations, "['erm', ('rrr', [0.1, 1.0])]")
    _require_list("controls", controls, "['wrong', 25]")
    if training is not None and not isinstance(training, Mapping):
        raise TypeError(f"training = {training!r}: give a dict of settings, such as {{'epochs': 20}}")
    own_code.load(_paths(options.get("own", ())))
    content = {
        "dataset": recipe_of(dataset) if isinstance(dataset, str | Path) else dataset,
        "network": _network(network),
        "training": dict(training or {}),
        "mitigations": [_mitigation(one) for one in mitigations],
        "controls": list(controls),
    }
    return run(parse_suite({"name": name, "seeds": _seeds(seeds), "sweeps": [content]}, "rrrbench.sweep"), **options)


@contextmanager
def _environment_as_it_was() -> Iterator[None]:
    """Takes away the variables that are set meanwhile, such as MLflow's patience."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]


def _require_list(name: str, given: object, example: str) -> None:
    """Raises TypeError for a text, a table, or a single value in place of a list."""
    if isinstance(given, str):
        raise TypeError(f"{name} = {given!r} is a text: give a list, [{given!r}]")
    if isinstance(given, Mapping) or not isinstance(given, Iterable):
        raise TypeError(f"{name} = {given!r} is no list: give a list, such as {example}")


def _seeds(given: int | Sequence[int]) -> list[int]:
    if isinstance(given, int) and not isinstance(given, bool):
        return list(range(given))
    if isinstance(given, str | bool | Mapping) or not isinstance(given, Iterable):
        raise TypeError(f"seeds = {given!r}: give how many, such as 5, or a list of them, such as [0, 1, 2]")
    return list(given)


def _network(given: Any) -> Any:
    """What a suite takes as a network; a module is none, because every run trains a network of its own."""
    if not callable(given):
        return given
    kind = getattr(given, "__name__", type(given).__name__)
    raise TypeError(
        f"network = {kind}: every run trains a network of its own, so give a name, such as 'mlp', or a function that "
        "makes the network: own='my_net.py', network={'name': 'module', 'build': 'my_net:build'}. A network that is "
        "trained already is judged by rrrbench.evaluate"
    )


def _paths(given: str | Path | Iterable[str | Path]) -> list[Path]:
    if not isinstance(given, str | Path | Iterable):
        raise TypeError(f"own = {given!r}: give the path of a Python file, such as 'my_net.py', or a list of paths")
    return [Path(given)] if isinstance(given, str | Path) else [Path(path) for path in given]


def _mitigation(given: Mitigated) -> Mapping[str, Any]:
    """The table of a mitigation, as a suite's file has it."""
    match given:
        case str():
            return {"mitigation": given} | ({"strengths": STRENGTHS} if known.resolve(given).has_strength else {})
        case (str(name), [*strengths]):
            return {"mitigation": name, "strengths": list(strengths)}
        case Mapping():
            return given
    raise TypeError(f"mitigation {given!r}: give a name, (name, strengths), or a table such as a suite's file has")
