"""Reliance on the shortcut where nobody can redraw it: on twins that are made up from masks (`datasets.made_up`).

Every id ends in the twin that it is measured on, because these numbers estimate those of true twins and are not them:
docs/data.md says how well they agree, and `cautions` where they do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from ...datasets.base import Environment, ShortcutDataset, Split, chunks
from .base import Metric, Values, metrics
from .column import Column
from .evaluated import Evaluated
from .reliance import flip_rate, follow_rate, probability_shift, redrawn

FEW_TWINS = 200
LARGE_MASKS = 0.1
"""Of an input's area."""
ANY_CHANGE, RISE = 0.05, 0.05
"""Flips on both twins and on the control, and flips by which wider masks outdo wider controls, that call for a caution.

Of how many networks whose masks are exact, and whose twins agree with true ones: results/made-up-twins.
"""
CHANCE_OF_SHARES = 0.01
"""Shares of inputs with masks differ by class if chance makes such a difference less often (chi-squared)."""

_BLIND = "0 for a network that is blind to the shortcut"
_MADE_UP = "Estimated on made-up twins:"
_CHANGES = {
    "exchanged": "the masked region is another class's",
    "removed": "the masked region is filled from its border",
    "added": "a donor's masked region is pasted into an input without a shortcut",
    "elsewhere": "as large a region that is no shortcut is exchanged; a control",
}
_SHOWN = (
    Column(
        "flip_rate/exchanged", "flip_rate\n/exchanged", "on twins that are made up from masks (docs/data.md)", order=21
    ),
)


@metrics.measured_by(
    *(
        Metric(
            f"flip_rate/{twin}",
            "lower",
            0,
            1,
            f"1 - 1/classes for guesses drawn anew, {_BLIND}",
            f"{_MADE_UP} share of the predictions that change when {change}.",
            _SHOWN if twin == "exchanged" else (),
        )
        for twin, change in _CHANGES.items()
    ),
    *(
        Metric(
            f"probability_shift/{twin}",
            "lower",
            0,
            1,
            _BLIND,
            f"{_MADE_UP} mean change of the label's probability when {change}.",
        )
        for twin, change in _CHANGES.items()
    ),
    Metric(
        "flip_rate/removed_and_added",
        "lower",
        0,
        1,
        _BLIND,
        f"{_MADE_UP} mean of flip_rate/removed and flip_rate/added: reliance on whether a shortcut is there.",
    ),
)
def reliance_on_twins(evaluated: Evaluated) -> Values:
    """For every kind of twin that there is."""
    measured = {}
    for twin in _twins(evaluated):
        split, one, other = evaluated.draw.test(twin), evaluated.logits["observed"].cpu(), evaluated.logits[twin].cpu()
        counted = redrawn(evaluated.draw.test("observed"), split) if twin == "exchanged" else split.shown
        measured[f"flip_rate/{twin}"] = flip_rate(one.argmax(-1), other.argmax(-1), counted)
        measured[f"probability_shift/{twin}"] = probability_shift(one, other, split.labels, counted)
    if {"flip_rate/removed", "flip_rate/added"} <= measured.keys():
        measured["flip_rate/removed_and_added"] = (measured["flip_rate/removed"] + measured["flip_rate/added"]) / 2
    return measured


@metrics.measured_by(
    *(
        Metric(
            f"follow_rate/{twin}",
            "lower",
            0,
            1,
            "1/values for guesses, where as many classes carry each value",
            f"{_MADE_UP} share of the predictions whose class carries the donor's shortcut, when {_CHANGES[twin]}.",
        )
        for twin in ("exchanged", "added")
    )
)
def following_on_twins(evaluated: Evaluated) -> Values:
    """Where the twin's shortcut is another class's."""
    measured = {}
    for twin in _twins(evaluated):
        split = evaluated.draw.test(twin)
        values = torch.where(split.shown, split.shortcuts, -1)
        if twin in ("exchanged", "added") and (values >= 0).any():
            own = evaluated.draw.class_shortcuts
            measured[f"follow_rate/{twin}"] = follow_rate(evaluated.predictions[twin], values, own)
    return measured


def require_twins(draw: ShortcutDataset) -> None:
    """Raises ValueError if no twin can be made up of a draw's test inputs: there is nothing to measure reliance on."""
    if draw.environments.keys() & {"exchanged", "removed"}:
        return
    observed = draw.test("observed")
    shown, known = observed.shown, _known(observed)
    if not known.any():
        why = "no test input has a mask: say where the shortcut is (mask_root, or boxes in a table)"
    elif not shown.any():
        why = "every mask of the test inputs is empty: say where the shortcut is"
    else:
        only = int(observed.labels[shown][0])
        why = (
            f"the test inputs with masks are all of class {only}, so there is no other class's region to exchange: say "
            "by empty masks which inputs have no shortcut, or give masks of other classes"
        )
    raise ValueError(f"{draw.id}: reliance on the shortcut cannot be measured: {why}")


def cautions(
    draw: ShortcutDataset, measured: Mapping[str, float], wider: Mapping[str, float] | None = None
) -> list[str]:
    """Why numbers on made-up twins may mislead, a sentence each; empty if nothing is known to be wrong.

    Args:
        measured: by metric id, one network's numbers.
        wider: the same on twins made up of masks 2 pixels wider (`datasets.made_up.grown`).
    """
    return [*cautions_of_data(draw), *_of_the_network(measured, wider or {})]


def cautions_of_data(draw: ShortcutDataset) -> Iterator[str]:
    """Why numbers on a draw's made-up twins may mislead, whatever the network."""
    observed = draw.test("observed")
    shown, known = observed.shown, _known(observed)
    for twin in _CHANGES:
        count = int(draw.environments[twin].shown.sum()) if twin in draw.environments else FEW_TWINS
        if twin != "elsewhere" and count < FEW_TWINS:
            yield f"{twin}: only {count} twins, numbers on fewer than {FEW_TWINS} are uncertain: give more masks"
    if shown.any() and (share := _area(observed)) > LARGE_MASKS:
        yield (
            f"masks cover {share:.0%} of an input on average: over {LARGE_MASKS:.0%}, twins differ in much that is no "
            "shortcut"
        )
    if "removed" not in draw.environments and _shares_differ(shown, observed.labels):
        shares = torch.stack([shown[observed.labels == k].mean(dtype=torch.float64) for k in observed.labels.unique()])
        unknown = int((~known).sum())
        yield (
            f"{float(shares.min()):.0%} to {float(shares.max()):.0%} of the inputs of a class have masks: exchange "
            "cannot see whether a network looks for the shortcut's presence; say by empty masks which of the "
            f"{unknown} inputs without a mask have no shortcut"
        )


def _of_the_network(measured: Mapping[str, float], wider: Mapping[str, float]) -> Iterator[str]:
    flips, control = (measured.get(f"flip_rate/{twin}") for twin in ("exchanged", "elsewhere"))
    if flips is None or control is None:
        return
    if min(control, flips) > ANY_CHANGE and control > flips / 2:
        yield (
            f"any change does it: exchanging as large a region elsewhere flips {control:.3f}, the shortcut's "
            f"{flips:.3f}: the network may rely on no shortcut, or masks are too wide"
        )
    if {"flip_rate/exchanged", "flip_rate/elsewhere"} <= wider.keys():
        rise = wider["flip_rate/exchanged"] - flips - (wider["flip_rate/elsewhere"] - control)
        if rise > RISE:
            yield (
                f"masks may be too small: with masks 2 pixels wider, flips rise by {rise:.3f} more than the control's; "
                "what a mask leaves out stays in the twin, and is not counted"
            )


def _twins(evaluated: Evaluated) -> list[Environment]:
    """The kinds of twins that are there, in `_CHANGES`' order."""
    kinds: tuple[Environment, ...] = ("exchanged", "removed", "added", "elsewhere")
    return [twin for twin in kinds if {"observed", twin} <= evaluated.predictions.keys()]


def _known(split: Split) -> Bool[Tensor, "n"]:
    return torch.ones(len(split), dtype=torch.bool) if split.known is None else split.known


def _area(split: Split) -> float:
    """The mean share of an input that a mask covers, of inputs that have one."""
    parts = [split.masks[rows].flatten(1).mean(1, dtype=torch.float64) for rows in chunks(split.masks)]
    return float(torch.cat(parts)[split.shown].mean())


def _shares_differ(shown: Bool[Tensor, "n"], labels: Int[Tensor, "n"]) -> bool:
    """Whether some classes' inputs have masks more often than others', beyond chance."""
    from scipy.stats import chi2_contingency  # takes a while to import

    if shown.all() or not shown.any():
        return False
    table = torch.stack([torch.bincount(labels[part], minlength=int(labels.max()) + 1) for part in (shown, ~shown)])
    return bool(chi2_contingency(table[:, table.sum(0) > 0].numpy()).pvalue < CHANCE_OF_SHARES)  # pyrefly: ignore
