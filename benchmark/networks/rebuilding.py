"""Whether a network's weights are drawn by its seed alone, whatever the process built before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from ...datasets.base import ShortcutDataset
from .base import NetworkRecipe

SEEDS = (0, 1)
_SAID: dict[tuple[NetworkRecipe, tuple[int, ...], int], str] = {}


class Draws(TorchDispatchMode):
    """Notes the random operations of a block, with the shapes that they fill."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.noted.append(f"{func} {tuple(out.shape) if isinstance(out, Tensor) else ''}")
        return out


def kept_between_seeds(recipe: NetworkRecipe, dataset: ShortcutDataset) -> str:
    """Why building one seed's network changes another seed's network, such as a cached layer; empty if it does not.

    Asked once in a process, before the recipe is built for anything else.

    Raises:
        Exception: of a recipe that cannot be built for this dataset.
    """
    asked = recipe, dataset.features, dataset.classes
    if asked not in _SAID:
        _SAID[asked] = _difference(lambda seed: recipe.untrained(dataset, seed))
    return _SAID[asked]


def _difference(build: Callable[[int], nn.Module]) -> str:
    with Draws() as first:
        one = build(SEEDS[0])
    if any(is_lazy(value) for value in one.parameters()):
        return ""  # without values yet
    values = {name: value.detach().clone() for name, value in one.state_dict().items() if isinstance(value, Tensor)}
    other = build(SEEDS[1])
    with Draws() as second:
        again = build(SEEDS[0])
    way_out = "make every parameter anew in each network, from torch's generator alone, without a cache (lru_cache) or "
    way_out += "a tensor of the module's file"
    memory = {value.data_ptr() for value in one.parameters() if value.numel()}
    for name, value in other.named_parameters():
        if value.requires_grad and value.numel() and value.data_ptr() in memory:
            return f"parameter {name} is one tensor in the networks of two seeds, and both would train it: {way_out}"
    for name, value in again.state_dict().items():
        if name in values and not _same(values[name], value):
            return f"{name} of a seed depends on what was built before in the process: {way_out}"
    if first.noted != second.noted:
        return (
            f"built again by the same seed, it draws {len(second.noted)} tensors instead of {len(first.noted)}: some "
            f"are kept from the first time. {way_out[0].upper()}{way_out[1:]}"
        )
    return ""


def _same(one: Tensor, other: Tensor) -> bool:
    """Equal numbers, or NaN in both."""
    return torch.equal(one.nan_to_num(), other.nan_to_num()) and torch.equal(one.isnan(), other.isnan())
