"""Tensors with leading axes of seeds and strengths: data, and functions mapped over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.func import vmap

from ...datasets.base import Batch, Split, as_float
from ...methods.base import Terms

Index = slice | Int[Tensor, "seeds batch"]
RunTerms = Callable[[Mapping[str, Tensor], Batch, Tensor], Terms]
"""The terms of (parameters, batch, strength)."""


@dataclass(frozen=True)
class StackedSplit:
    """One split of the same size for each seed, on the device that trains.

    `masks` have an axis of strengths too: of size 1, or one mask for each. `given` is what a mitigation's `fit` found
    for each input, by name: it becomes a batch's first draws.
    """

    inputs: Shaped[Tensor, "seeds n *features"]
    labels: Int[Tensor, "seeds n"]
    masks: Bool[Tensor, "seeds #strengths n *#features"]
    shortcuts: Int[Tensor, "seeds n"]
    given: Mapping[str, Shaped[Tensor, "seeds n *values"]] = field(default_factory=dict)

    @classmethod
    def of(cls, splits: Sequence[Split], device: torch.device) -> StackedSplit:
        """Raises ValueError if the splits differ in size."""
        if len({len(split) for split in splits}) > 1:
            raise ValueError(f"seeds of one dataset differ in size: {[len(split) for split in splits]} inputs")
        inputs, labels, masks, shortcuts = (
            torch.stack([getattr(split, name) for split in splits]).to(device)
            for name in ("inputs", "labels", "masks", "shortcuts")
        )
        return cls(inputs, labels, masks[:, None], shortcuts)

    def __len__(self) -> int:
        return self.labels.shape[1]

    def __getitem__(self, place: tuple[slice, slice]) -> StackedSplit:
        """The part for some seeds and strengths."""
        seeds, strengths = place
        masks = self.masks[seeds, strengths if self.masks.shape[1] > 1 else slice(None)]
        given = {name: values[seeds] for name, values in self.given.items()}
        return StackedSplit(self.inputs[seeds], self.labels[seeds], masks, self.shortcuts[seeds], given)

    def batch(self, index: Index, dtype: torch.dtype) -> Batch:
        """The inputs at `index`, in [0, 1]; every field has a leading axis of seeds, and masks one of strengths too."""
        if isinstance(index, slice):
            rows, masks = slice(None), self.masks[:, :, index]
        else:
            rows = torch.arange(len(index), device=index.device)[:, None]
            masks = self.masks[rows, :, index].movedim(2, 1)
        inputs, labels, shortcuts = (values[rows, index] for values in (self.inputs, self.labels, self.shortcuts))
        given = {name: values[rows, index] for name, values in self.given.items()}
        return Batch(as_float(inputs).to(dtype), labels, masks, shortcuts, given)

    def chunks(self, size: int, dtype: torch.dtype) -> Iterator[Batch]:
        """All inputs in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.batch(slice(start, start + size), dtype)

    def touched(self) -> Int[Tensor, "positions"] | None:
        """Flattened positions of an input that some mask covers; None where leaving out the others saves little."""
        anywhere = self.masks.flatten(0, 2).any(0).expand(self.inputs.shape[2:]).flatten()
        positions = anywhere.nonzero()[:, 0]
        return positions if 2 * len(positions) <= len(anywhere) else None


def over_stack(terms: RunTerms, masks_by_strength: bool) -> RunTerms:
    """The terms of one run, mapped over seeds and strengths.

    The mapped function takes parameters (seeds, strengths, *shape), a stacked batch, and strengths
    (seeds, strengths), and gives terms (seeds, strengths). An axis of one is not vmapped: each level costs, and vmapped
    convolutions are slower than plain ones.
    """
    across_seeds = Batch(0, 0, 0, 0, 0, None)  # pyrefly: ignore
    within_seed = Batch(None, None, 0 if masks_by_strength else None, None, None, None)  # pyrefly: ignore
    by_seed = vmap(terms, in_dims=(0, across_seeds, 0))
    by_both = vmap(vmap(terms, in_dims=(0, within_seed, 0)), in_dims=(0, across_seeds, 0))

    def stacked(parameters: Mapping[str, Tensor], batch: Batch, strengths: Tensor) -> Terms:
        seeds, columns = strengths.shape
        if columns > 1:
            return by_both(parameters, batch if masks_by_strength else _first_masks(batch), strengths)
        alone = {name: value[:, 0] for name, value in parameters.items()}
        if seeds > 1:
            result = by_seed(alone, _first_masks(batch), strengths[:, 0])
        else:
            one = of_seed(batch, 0)
            one = one._replace(inputs=_channels_last(one.inputs))
            result = terms({name: _channels_last(value[0]) for name, value in alone.items()}, one, strengths[0, 0])
        return Terms(*(term.view(seeds, 1) for term in result))

    return stacked


def of_seed(batch: Batch, seed: int) -> Batch:
    """One seed's batch, with the masks of its first strength."""
    draws = {name: drawn[seed] for name, drawn in batch.draws.items()}
    return Batch(
        batch.inputs[seed], batch.labels[seed], batch.masks[seed, 0], batch.shortcuts[seed], draws, batch.touched
    )


def of_seeds(batches: Sequence[Batch]) -> Batch:
    """The inverse of `of_seed`, for masks that all strengths share."""
    inputs, labels, masks, shortcuts = (
        torch.stack([getattr(batch, name) for batch in batches]) for name in ("inputs", "labels", "masks", "shortcuts")
    )
    draws = {name: torch.stack([batch.draws[name] for batch in batches]) for name in batches[0].draws}
    return Batch(inputs, labels, masks[:, None], shortcuts, draws, batches[0].touched)


def _channels_last(inputs: Float[Tensor, "batch *features"]) -> Float[Tensor, "batch *features"]:
    """Images in the memory format in which convolutions and pooling on a CPU are about twice as fast."""
    return inputs.to(memory_format=torch.channels_last) if inputs.dim() == 4 else inputs


def _first_masks(batch: Batch) -> Batch:
    return batch._replace(masks=batch.masks[:, 0])
