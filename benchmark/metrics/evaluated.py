"""What a metric may look at: the trained networks of one draw, and what they make of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import nan

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...datasets.base import Batch, ShortcutDataset, Split, generator
from ...methods.explainers.base import ForwardFunction
from .swap import swapped


class Lazy(Mapping[str, Tensor]):
    """Tensors by name, each computed when it is first asked for, and kept.

    Args:
        names: the names that iteration gives; `compute` may know more.
        compute: gives the tensor of a name; raises LookupError for an unknown name.
    """

    def __init__(self, names: Collection[str], compute: Callable[[str], Tensor]) -> None:
        self._names, self._compute = names, compute
        self._known: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._known:
            self._known[name] = self._compute(name)
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True)
class Evaluated:
    """The trained networks of one draw of a dataset, one for each strength.

    Attributes:
        splits: the inputs and labels behind `logits`, under the same names; `validation_swap` only where validation
            inputs have masks.
        networks: from inputs on the trainer's device to logits.
        logits: by environment, and of `train`, `validation` and `validation_swap`; computed in batches when first asked
            for, on the trainer's device.
        explained: the inputs whose predictions are attributed (RULES.md).
        attributions: by explainer, of the predicted classes of `explained`. Iteration gives the explainers that a
            record reports; any other explainer's id may be asked for.
        untrained: the same of the first of `explained`, by a network with other, random weights; has no explainers
            where a suite does not rank explainers.
        liveness: by stage of the training; empty for a mitigation without a strength.
        seconds: of one run's training, all stages; NaN for a network that was trained elsewhere.
        setup_seconds: likewise, of one run's share of tracing, trials of engines, and compiling.
        reported: what the mitigation's own `fit` measured, by metric id.
        valued: by shortcut value, `0` on: the logits of `ShortcutDataset.with_value`; empty where it cannot render.
    """

    draw: ShortcutDataset
    logits: Mapping[str, Float[Tensor, "strengths _ classes"]] = field(default_factory=dict)
    splits: Mapping[str, Split] = field(default_factory=dict)
    networks: Sequence[ForwardFunction] = ()
    explained: Batch | None = None
    attributions: Mapping[str, Float[Tensor, "strengths inputs *features"]] = field(default_factory=dict)
    untrained: Mapping[str, Float[Tensor, "strengths few *features"]] = field(default_factory=dict)
    liveness: Mapping[str, Float[Tensor, "strengths"]] = field(default_factory=dict)
    seconds: float = nan
    setup_seconds: float = nan
    reported: Mapping[str, Float[Tensor, "strengths"]] = field(default_factory=dict)
    valued: Mapping[str, Float[Tensor, "strengths _ classes"]] = field(default_factory=dict)

    @cached_property
    def predictions(self) -> Mapping[str, Int[Tensor, "strengths _"]]:
        """The predicted classes, under the names of `logits`; on the CPU, as labels, masks and shortcuts are."""
        return Lazy(list(self.logits), lambda name: self.logits[name].argmax(-1).cpu())

    @cached_property
    def explicable(self) -> Bool[Tensor, "strengths"]:
        """Networks whose reported attributions are all finite; of the others no attribution is measured."""
        finite = [values.isfinite().flatten(1).all(1) for values in self.attributions.values()]
        return torch.stack(finite).all(0)


def splits(draw: ShortcutDataset, names: Collection[str] | None = None) -> dict[str, Split]:
    """Every split of a draw by name: the environments, `train`, `validation`, and `validation_swap` if it has masks.

    Args:
        names: the splits to give; all if not given.
    """
    known: dict[str, Split] = {**draw.environments, "train": draw.train, "validation": draw.validation}
    if names is not None:
        return {name: known[name] for name in names}
    if bool(draw.validation.shown.any()):
        known["validation_swap"] = swapped(draw.validation, generator(draw.seed, "validation/swap"))
    return known
