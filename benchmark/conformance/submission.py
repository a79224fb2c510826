"""Submissions: loads a mitigation's file from outside the tree, checks its laws, and measures its row."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from ...datasets.own_code import Refused, load_module
from ...datasets.registry import UnknownName
from ...methods.base import Mitigation
from ..metrics.base import metrics
from ..ranking.leaderboard import rank_mitigations, unranked_mitigations
from ..report.submissions import LIKE
from ..running.executors import Executor, Settings
from ..running.forecast import Forecast
from ..running.session import Session
from ..store.frames import flat
from ..suite.loading import load_suite, parse_suite
from ..suite.protocol import PROTOCOL_VERSION
from ..suite.sweep import Suite
from .file_laws import Contents, contents

RULE = "knee"
EXACT = ("strength", "seeds")
"""Numbers of a row that are chosen or counted, not measured."""
TIMES = "seconds"
"""How the names of metrics begin that depend on the machine: no row has them, for they cannot be repeated."""
MOST_STRENGTHS = 5
BESIDE = ("erm", "rrr")
"""Mitigations of the suite `LIKE` that are trained beside a submission, so that its row can be read."""


class Row(BaseModel):
    """The results that a pull request adds beside the mitigation's file.

    Attributes:
        sha256: SHA-256 of the mitigation's file.
        results: the leaderboard's rows by the rule `knee`, without metrics that were not measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    protocol: str
    mitigation: str
    needs: str
    sha256: str
    strengths: tuple[float, ...]
    results: list[dict[str, Any]]

    @classmethod
    def read(cls, path: Path) -> Row:
        """Reads a row that was measured under this protocol.

        Raises:
            Refused: it is no row, or was measured under another version of the protocol.
        """
        try:
            row = cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, problem["loc"]))
            raise Refused(f"{path} is no row: {place}: {problem['msg']}. Remove it and check the file again") from error
        if row.protocol != PROTOCOL_VERSION:
            raise Refused(
                f"{path} was measured under protocol {row.protocol}, and this is {PROTOCOL_VERSION}: rows of two "
                "protocols are not comparable. Remove it and run `rrrbench submit check` again"
            )
        return row


class Measured(NamedTuple):
    """A submission's row, and the leaderboard's rows of `BESIDE`, with which it is printed."""

    row: Row
    beside: list[dict[str, Any]]


@dataclass(frozen=True)
class Submission:
    """A file with one mitigation class and its `STRENGTHS`."""

    file: Contents
    mitigation: Mitigation
    strengths: tuple[float, ...]

    @property
    def path(self) -> Path:
        return self.file.path

    @property
    def row_path(self) -> Path:
        return self.path.with_suffix(".json")

    def suite(self) -> Suite:
        """Makes a suite of `BESIDE` and the submission, like the quick suite; with wrong masks, if it uses masks."""
        like = load_suite(LIKE)
        own: dict[str, Any] = {"mitigation": self.mitigation.resolved()}
        if self.mitigation.has_strength:
            own["strengths"] = list(self.strengths)
        sweeps = []
        for sweep in like.sweeps:
            shared = {
                "dataset": sweep.dataset.resolved(),
                "network": sweep.network.resolved(),
                "training": sweep.training.model_dump(),
            }
            beside = [
                {"mitigation": row.mitigation.resolved(), "strengths": list(row.strengths)}
                for row in sweep.mitigations
                if row.mitigation.id in BESIDE
            ]
            controls = ["wrong"] if "masks" in self.mitigation.needs else []
            sweeps += [{**shared, "mitigations": beside}, {**shared, "mitigations": [own], "controls": controls}]
        name = f"submission {self.mitigation.name}"
        return parse_suite({"name": name, "seeds": list(like.seeds), "sweeps": sweeps}, str(self.path))

    def measured(
        self,
        home: Path,
        settings: Settings | None = None,
        executor: Executor | None = None,
        tell: Callable[[Forecast], object] | None = None,
    ) -> Measured:
        """Trains the unfinished runs, and makes the row.

        Args:
            tell: is given the forecast before anything is trained.

        Raises:
            Refused: a run failed, or no strength is eligible anywhere.
        """
        suite = self.suite()
        session = Session(suite, home, settings=settings, executor=executor, tell=tell)
        outcome = session.run()
        if outcome.failed:
            error = outcome.failed[0].error.strip().splitlines()[-1]
            raise Refused(f"{len(outcome.failed)} runs of {self.mitigation.id} failed: {error}")
        records = flat(session.store.all(suite.keys()))
        board = rank_mitigations(records, RULE)
        board = board[board["masks"] == "true"]
        if not (board["mitigation"] == self.mitigation.id).any():
            reasons = unranked_mitigations(records, RULE).query("mitigation == @self.mitigation.id")["reason"]
            raise Refused(f"{self.mitigation.id} has no row to submit: {'; '.join(dict.fromkeys(reasons))}")
        results = [
            {str(name): value for name, value in row.items() if value == value and not str(name).startswith(TIMES)}
            for row in board.to_dict("records")
        ]
        row = Row(
            protocol=PROTOCOL_VERSION,
            mitigation=self.mitigation.id,
            needs="+".join(sorted(self.mitigation.needs)),
            sha256=hashlib.sha256(self.path.read_bytes()).hexdigest(),
            strengths=self.strengths,
            results=[result for result in results if result["mitigation"] == self.mitigation.id],
        )
        return Measured(row, [result for result in results if result["mitigation"] != self.mitigation.id])


def load(path: Path) -> Submission:
    """Imports the file, whose mitigation class registers itself.

    Raises:
        FileNotFoundError: the file does not exist.
        Refused: the file has no mitigation or several, or more strengths than the budget allows.
    """
    file = contents(path, load_module)
    found = [entry.value for entry in file.entries if entry.kind == "mitigation"]
    if len(found) != 1:
        named = ", ".join(mitigation.id for mitigation in found) or "none"
        raise Refused(f"{path} registers {len(found)} mitigations ({named}), expected a single mitigation")
    mitigation = found[0]
    given = getattr(file.module, "STRENGTHS", ())
    if not isinstance(given, list | tuple) or not all(
        isinstance(strength, Real) and not isinstance(strength, bool) for strength in given
    ):
        raise Refused(f"{path} has STRENGTHS = {given!r:.80}, no tuple of numbers: write STRENGTHS = (0.1, 1.0)")
    strengths = tuple(map(float, given))
    if len(set(strengths)) < len(strengths):
        raise Refused(f"{path} has STRENGTHS = {given!r}, a number of them twice: write each once")
    if bad := [strength for strength in strengths if not 0 <= strength < math.inf]:
        raise Refused(f"{path} has {bad[0]} among its STRENGTHS: expected finite numbers, 0 or more")
    if mitigation.has_strength and not 1 <= len(strengths) <= MOST_STRENGTHS:
        raise Refused(
            f"{path} has {len(strengths)} STRENGTHS: the budget is one to {MOST_STRENGTHS}, such as "
            "STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)"
        )
    return Submission(file, mitigation, strengths)


def compare(recorded: Row, again: Row) -> None:
    """Checks a recorded row against the row that was measured again: all of its words, and all of its numbers.

    A number is repeated if it is within a point, a hundredth of its metric's range; where the range has no end, within
    a tenth. The recorded interval is a number like the others, and decides nothing.

    Raises:
        Refused: anything differs; the message has both values.
    """
    if recorded.sha256 != again.sha256:
        raise Refused("the file has changed since its row was measured: remove the row and check it again")
    for name in ("protocol", "mitigation", "needs", "strengths"):
        _same(name, getattr(recorded, name), getattr(again, name))
    if len(recorded.results) != len(again.results):
        raise Refused(f"the recorded row has {len(recorded.results)} results, and this machine {len(again.results)}")
    for old, new in zip(recorded.results, again.results, strict=True):
        where = f"{new.get('dataset', 'the row')}: "
        if odd := sorted(old.keys() ^ new.keys()):
            raise Refused(f"{where}{odd[0]} is {'recorded and not measured' if odd[0] in old else 'not recorded'} here")
        for name, value in new.items():
            if not _is_number(value) or name in EXACT:
                _same(where + name, old[name], value)
            elif not (_is_number(old[name]) and abs(old[name] - value) <= _tolerance(name, value)):
                raise Refused(
                    f"{where}{name} is {_said(value)} here, and recorded as {_said(old[name])}: more than "
                    f"{_tolerance(name, value):.3g} apart"
                )


def _same(name: str, recorded: Any, again: Any) -> None:
    if type(recorded) is not type(again) or recorded != again:
        raise Refused(f"{name} is {again!r} here, and recorded as {recorded!r}: remove the row and check it again")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _said(value: Any) -> str:
    return f"{value:.3f}" if _is_number(value) else repr(value)


def _tolerance(name: str, value: float) -> float:
    """How far from `value` a machine with another order of additions may come."""
    try:
        known = metrics.named(re.sub(":(low|high)$", "", name))
    except UnknownName:
        return abs(value) / 10
    spread = known.high - known.low
    return spread / 100 if math.isfinite(spread) else abs(value) / 10
