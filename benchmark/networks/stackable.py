"""Whether runs are in a stack what they are alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...methods.network import Net, Parameters
from .base import NetworkRecipe
from .gradients import ROUNDING, perturbed, weights_of
from .not_trainable import differ
from .structure import structure

_STACKED: dict[tuple[object, ...], bool] = {}
"""Whether a recipe's runs are in a stack what they are alone: asked once a process."""


def why_unstackable(
    recipe: NetworkRecipe, modules: Sequence[nn.Module], inputs: Float[Tensor, "few *features"], runs: int
) -> str:
    """Why a stack would train other runs than each run alone; empty if it would not.

    Args:
        modules: each seed's network, as it was built: a pass may leave in it what it computed.
        runs: how many are to be trained; a single run is no stack.
    """
    structures = [*map(structure, modules)]
    if len(set(structures)) > 1 or not _alike(modules, inputs):
        return f"the networks of {recipe.id} differ from seed to seed in more than their parameters"
    asked = recipe, structures[0], inputs.shape, inputs.dtype, inputs.device
    if runs > 1 and asked not in _STACKED:
        _STACKED[asked] = _stacked_as_alone(modules[0], inputs)
    return "" if _STACKED.get(asked, True) else f"under torch.vmap, gradients of {recipe.id} are others than alone"


def _alike(modules: Sequence[nn.Module], inputs: Float[Tensor, "batch *features"]) -> bool:
    """Whether the first module computes and trains every module's network from the network's parameters.

    Not so if seeds differ in buffers, in other tensors, or in the parameters that are frozen. Asked with perturbed
    parameters too: a last layer of zeros hides all before it.
    """
    first, *others = modules
    constants, moved = dict(first.named_buffers()), perturbed(first)
    for other in others:
        if _trained(other) != _trained(first):
            return False
        if any(not torch.equal(value, constants[name]) for name, value in other.named_buffers()):
            return False
        with torch.no_grad():
            if differ(Net(first, dict(other.named_parameters()))(inputs), other(inputs)):
                return False
            if differ(Net(first, moved)(inputs), Net(other, moved)(inputs)):
                return False
    return True


def _trained(module: nn.Module) -> set[str]:
    return {name for name, value in module.named_parameters() if value.requires_grad}


def _stacked_as_alone(module: nn.Module, inputs: Float[Tensor, "batch *features"]) -> bool:
    """Whether the gradients of four vmapped runs are those of each run alone; True where runs cannot be vmapped.

    Not so for operations whose rule under vmap leaves something out, as that of `nn.Embedding` leaves out padding_idx.
    """
    if any(getattr(layer, "padding_idx", None) is not None for layer in module.modules()):
        return False
    weights = weights_of(inputs)

    def total(parameters: Parameters, own: Tensor) -> Tensor:
        return (Net(module, parameters)(own).log_softmax(1) * weights).sum()

    def summed(stack: Parameters, own: Tensor) -> Tensor:
        return vmap(vmap(total, (0, None)))(stack, own).sum()

    batches = torch.stack([inputs, inputs.flip(0)])
    runs = [[perturbed(module, 2 * seed + strength) for strength in (1, 2)] for seed in (0, 1)]
    with sdpa_kernel(SDPBackend.MATH):
        try:
            together = {
                name: torch.stack([torch.stack([run[name] for run in row]) for row in runs]) for name in runs[0][0]
            }
            stacked = grad(summed)(together, batches)  # in the engine's order: one gradient of all runs
        except RuntimeError:  # the trial of a stack says why
            return True
        alone = [[grad(total)(run, own) for run in row] for row, own in zip(runs, batches, strict=True)]
    trained = [name for name, value in module.named_parameters() if value.requires_grad]
    for row, column in product(range(2), repeat=2):
        expected = alone[row][column]
        rounding = ROUNDING * max(float(value.abs().max()) for value in expected.values() if value.numel())
        if any(differ(stacked[name][row, column], expected[name], rounding) for name in trained):
            return False
    return True
