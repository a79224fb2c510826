"""Tensors with leading axes of seeds and strengths: data, and functions mapped over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn
from torch.func import vmap

from ...datasets.base import Batch, Split, as_float
from ...methods.choosing import moved
from ...methods.fitting import Terms
from ...methods.network import Net, Parameters
from ..networks.not_trainable import differ

CHUNK, NUMBERS_IN_A_PASS = 4096, 2**22
"""Inputs in a forward pass outside training, of all runs together; fewer where they are large (27 photos of 224²)."""

Index = slice | Int[Tensor, "seeds batch"]
"""A batch of each seed, its indices on the CPU."""
RunTerms = Callable[[Parameters, Batch, Float[Tensor, ""]], Terms]
"""The terms of one run: of (parameters, batch, strength)."""


class StackedBatch(NamedTuple):
    """The batches of several seeds; a pytree, so that programs can be traced with it.

    Attributes:
        masks: with an axis of strengths, of size 1 where all strengths of a seed share their masks.
        draws: by name, as in `Batch`.
        core: as in `Batch`; all strengths of a seed share it.
    """

    inputs: Float[Tensor, "seeds batch *features"]
    labels: Int[Tensor, "seeds batch"]
    masks: Bool[Tensor, "seeds #strengths batch *#features"]
    shortcuts: Int[Tensor, "seeds batch"]
    draws: Mapping[str, Shaped[Tensor, "seeds batch *values"]] = {}
    core: Bool[Tensor, "seeds batch *#features"] | None = None

    @classmethod
    def of_seeds(cls, batches: Sequence[Batch]) -> StackedBatch:
        """One batch a seed, with masks that all strengths share."""
        inputs, labels, masks, shortcuts = (
            torch.stack([getattr(batch, name) for batch in batches])
            for name in ("inputs", "labels", "masks", "shortcuts")
        )
        draws = {name: torch.stack([batch.draws[name] for batch in batches]) for name in batches[0].draws}
        return cls(inputs, labels, masks[:, None], shortcuts, draws, _stacked_core(batches))

    def of_seed(self, seed: int) -> Batch:
        """A seed's batch, with the masks of its first strength."""
        draws = {name: drawn[seed] for name, drawn in self.draws.items()}
        core = None if self.core is None else self.core[seed]
        return Batch(self.inputs[seed], self.labels[seed], self.masks[seed, 0], self.shortcuts[seed], draws, core=core)


StackedTerms = Callable[[Parameters, StackedBatch, Float[Tensor, "seeds strengths"]], Terms]
"""The terms (seeds, strengths) of a stack: of (parameters (seeds, strengths, *shape), batch, strengths)."""


@dataclass(frozen=True)
class StackedSplit:
    """A split of the same size for each seed, on the device that trains.

    Attributes:
        masks: with an axis of strengths, of size 1 where all strengths of a seed share their masks.
        given: by name, what a mitigation's `fit` found for each input: the first entries of a batch's draws.
        core: as in `Split`; all strengths of a seed share it.
    """

    inputs: Shaped[Tensor, "seeds n *features"]
    labels: Int[Tensor, "seeds n"]
    masks: Bool[Tensor, "seeds #strengths n *#features"]
    shortcuts: Int[Tensor, "seeds n"]
    given: Mapping[str, Shaped[Tensor, "seeds n *values"]] = field(default_factory=dict)
    core: Bool[Tensor, "seeds n *#features"] | None = None

    @classmethod
    def of(cls, splits: Sequence[Split], device: torch.device) -> StackedSplit:
        """Raises ValueError if the splits differ in size."""
        if len({len(split) for split in splits}) > 1:
            raise ValueError(
                f"seeds of one dataset differ in size: {[len(split) for split in splits]} inputs; give each seed a "
                "stack of its own"
            )
        splits = [split.in_memory() for split in splits]
        inputs, labels, masks, shortcuts = (
            torch.stack([getattr(split, name) for split in splits]).to(device)
            for name in ("inputs", "labels", "masks", "shortcuts")
        )
        core = _stacked_core(splits)
        return cls(inputs, labels, masks[:, None], shortcuts, core=None if core is None else core.to(device))

    def __len__(self) -> int:
        return self.labels.shape[1]

    def __getitem__(self, place: tuple[slice, slice]) -> StackedSplit:
        """The split of some seeds, with the masks of some strengths."""
        seeds, strengths = place
        masks = self.masks[seeds, strengths if self.masks_differ else slice(None)]
        given = {name: values[seeds] for name, values in self.given.items()}
        core = None if self.core is None else self.core[seeds]
        return StackedSplit(self.inputs[seeds], self.labels[seeds], masks, self.shortcuts[seeds], given, core)

    @property
    def masks_differ(self) -> bool:
        """Whether each strength of a seed has masks of its own."""
        return self.masks.shape[1] > 1

    def batch(self, index: Index, dtype: torch.dtype) -> StackedBatch:
        """The inputs at `index`, in [0, 1]."""
        if isinstance(index, slice):
            rows, masks = slice(None), self.masks[:, :, index]
        else:
            index = moved(index, self.labels.device)
            rows = torch.arange(len(index), device=index.device)[:, None]
            masks = self.masks[rows, :, index].movedim(2, 1).contiguous()  # laid out as a slice, whose program may run
        inputs, labels, shortcuts = (values[rows, index] for values in (self.inputs, self.labels, self.shortcuts))
        given = {name: values[rows, index] for name, values in self.given.items()}
        core = None if self.core is None else self.core[rows, index]
        return StackedBatch(as_float(inputs).to(dtype), labels, masks, shortcuts, given, core)

    def chunks(self, dtype: torch.dtype, runs: int = 1) -> Iterator[StackedBatch]:
        """All inputs in order, so many at a time that `runs` networks together take `CHUNK` inputs, each at least 1.

        Of large inputs fewer: one pass takes no more than `NUMBERS_IN_A_PASS`.
        """
        size = max(1, min(CHUNK, NUMBERS_IN_A_PASS // self.inputs[0, 0].numel()) // runs)
        for start in range(0, len(self), size):
            yield self.batch(slice(start, start + size), dtype)

    @cached_property
    def areas(self) -> Int[Tensor, "seeds n"]:
        """How many features of an input its mask covers, for the strength where they are most; on the CPU."""
        return self.masks.flatten(3).sum(3).amax(1).cpu()

    def areas_at(self, index: Index) -> Int[Tensor, "seeds batch"]:
        """`areas` of the inputs at `index`."""
        return self.areas[:, index] if isinstance(index, slice) else self.areas.gather(1, index)

    def touched(self) -> Int[Tensor, "positions"] | None:
        """Flattened positions of an input that some mask covers; None where they are more than half of all."""
        anywhere = self.masks.flatten(0, 2).any(0).expand(self.inputs.shape[2:]).flatten()
        positions = anywhere.nonzero()[:, 0]
        return positions if 2 * len(positions) <= len(anywhere) else None


def over_stack(terms: RunTerms, masks_differ: bool, channels_last: bool) -> StackedTerms:
    """The terms of one run, mapped over seeds and strengths.

    An axis of size 1 is not vmapped: each level costs, and vmapped convolutions are slower than plain ones.

    Args:
        masks_differ: each strength of a seed has masks of its own.
        channels_last: a run alone has its images and convolutions in this memory format; see `takes_channels_last`.
    """
    laid = _channels_last if channels_last else lambda values: values

    def of_run(
        parameters: Parameters,
        strength: Tensor,
        masks: Tensor,
        inputs: Tensor,
        labels: Tensor,
        shortcuts: Tensor,
        draws: Mapping[str, Tensor],
        core: Mapping[str, Tensor],
    ) -> Terms:
        return terms(parameters, Batch(inputs, labels, masks, shortcuts, draws, **core), strength)

    by_seed = vmap(of_run)
    by_both = vmap(vmap(of_run, in_dims=(0, 0, 0 if masks_differ else None, None, None, None, None, None)))

    def stacked(parameters: Parameters, batch: StackedBatch, strengths: Float[Tensor, "seeds strengths"]) -> Terms:
        seeds, columns = strengths.shape
        core = {} if batch.core is None else {"core": batch.core}  # vmap takes no None
        rest = batch.inputs, batch.labels, batch.shortcuts, batch.draws, core
        if columns > 1:
            return by_both(parameters, strengths, batch.masks if masks_differ else batch.masks[:, 0], *rest)
        if seeds > 1:
            result = by_seed(_first(parameters), strengths[:, 0], batch.masks[:, 0], *rest)
        else:
            run = batch.of_seed(0)
            run = run._replace(inputs=laid(run.inputs))
            alone = {name: laid(value[0]) for name, value in _first(parameters).items()}
            result = terms(alone, run, strengths[0, 0])
        return Terms(*(term.view(seeds, 1) for term in result))

    return stacked


def takes_channels_last(module: nn.Module, inputs: Float[Tensor, "batch *features"]) -> bool:
    """Whether a network computes the same on images in this memory format; not if it asks for a `view` or strides."""
    laid = {name: _channels_last(value.detach()) for name, value in module.named_parameters()}
    with torch.no_grad():
        try:
            return not differ(Net(module, laid)(_channels_last(inputs)), module(inputs))
        except RuntimeError:
            return False


def _stacked_core(of_seeds: Sequence[Batch] | Sequence[Split]) -> Bool[Tensor, "seeds n *#features"] | None:
    """The core masks of all seeds; None where a seed has none."""
    cores = [own.core for own in of_seeds if own.core is not None]
    return torch.stack(cores) if len(cores) == len(of_seeds) else None


def _first(parameters: Parameters) -> dict[str, Tensor]:
    """Every seed's parameters at its first strength."""
    return {name: value[:, 0] for name, value in parameters.items()}


def _channels_last(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Images in the memory format in which convolutions and pooling on a CPU are about twice as fast."""
    return values.to(memory_format=torch.channels_last) if values.dim() == 4 else values
