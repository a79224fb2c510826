"""The picture of an explainer's counterfactuals: the first inputs, with what was changed."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.figure import Figure

from ..figures.strip import Labelled, counterfactual_strip
from .evaluation import Shown

COLUMNS = 4
ROWS = 4


def picture(batches: Iterable[Shown], title: str) -> Figure:
    """The first inputs as they come, with their counterfactuals: hits first, then other flips."""
    rows = [row for shown in batches for row in _rows(shown)][:ROWS]
    legend = "ink: grey stayed, red put, blue taken away; green frame: shortcut hit"
    return counterfactual_strip(rows, f"{title}\n{legend}", COLUMNS)


def _rows(shown: Shown) -> list[tuple[Labelled, list[Labelled]]]:
    """Each input with its counterfactuals, without duplicates."""
    rows = []
    for i, image in enumerate(shown.images):
        before, answers = int(shown.predicted[i]), shown.predictions[i].tolist()
        order = (2 * shown.hits[i].int() + (shown.predictions[i] != before).int()).argsort(descending=True, stable=True)
        changed: list[Labelled] = []
        for j in order.tolist():
            below = "\n".join([f"class {before} → {answers[j]}", *shown.changes[i][j]])
            other = Labelled(shown.counterfactuals[i, j], below, shown.hits[i, j])
            if not any(other.image.equal(earlier.image) for earlier in changed):
                changed.append(other)
        rows.append((Labelled(image, f"class {before}"), changed[:COLUMNS]))
    return rows
