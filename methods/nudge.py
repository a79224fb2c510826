"""A network at inputs that are nudged at a few positions, whose effect the first layer computes from these alone."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from .convolution import convolve
from .network import BoundLayer, Net, PixelRange, is_affine, is_exactly, layers_of


def is_whole(module: nn.Module) -> bool:
    """Whether a Flatten flattens an input whole, so that a position is the same position before and after."""
    return is_exactly(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1)


def _is_torchs(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.modules.")


def nudged(
    net: Net,
    inputs: Float[Tensor, "batch *features"],
    nudge: Float[Tensor, "batch positions"],
    positions: Int[Tensor, "positions"],
    reached: Int[Tensor, "outputs"] | None = None,
) -> Float[Tensor, "batch classes"]:
    """`net` at `inputs` with `nudge` added to the flattened features at `positions`.

    A dense or convolutional first layer computes the nudge's effect from `positions` alone, so that a gradient with
    respect to 64 of 784 input features costs a twelfth of the whole gradient.

    Args:
        reached: `reached_outputs` of the positions, where they are known; computed here, they make the CPU wait for a
            GPU, and no program can be traced.
    """
    hidden, layers = inputs, iter(net.layers)
    for layer in layers:
        match layer.module if is_affine(layer.module) or is_exactly(layer.module, nn.Flatten) else None:
            case PixelRange(scale=scale):
                per_position = scale.to(nudge) if scale.dim() == 0 else scale.to(nudge).flatten()[positions]
                hidden, nudge = layer(hidden), nudge * per_position
            case nn.Flatten() if is_whole(layer.module):
                hidden = layer(hidden)
            case nn.Linear() if hidden.dim() == 2:
                hidden = layer(hidden) + F.linear(nudge, layer.parameters["weight"][:, positions])
                break
            case nn.Conv2d():
                hidden = _convolved_nudge(layer, hidden, nudge, positions, reached)
                hidden = hidden if all(map(_is_torchs, layers_of(net.module))) else hidden.contiguous()  # for `view`
                break
            case _:
                flat = hidden.flatten(1).index_add(1, positions, nudge)
                hidden = layer(flat.unflatten(1, hidden.shape[1:]))
                break
    for layer in layers:
        hidden = layer(hidden)
    return hidden


def reached_outputs(
    module: nn.Module, features: tuple[int, ...], positions: Int[Tensor, "positions"]
) -> Int[Tensor, "outputs"] | None:
    """Flattened outputs (one channel) of a network's first convolution that depend on the input at the positions.

    None if the first layer with weights is no convolution: `nudged` needs no outputs then.

    Args:
        features: shape of an input.
    """
    first = next((layer for layer in layers_of(module) if not is_exactly(layer, PixelRange)), None)
    if first is None or not is_exactly(first, nn.Conv2d) or not is_affine(first):
        return None
    return _reached(first, _units(positions, features, torch.float32))  # pyrefly: ignore


def _units(positions: Int[Tensor, "positions"], features: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """An image for each position, 1 there and 0 elsewhere."""
    units = torch.zeros(len(positions), math.prod(features), dtype=dtype, device=positions.device)
    return units.scatter(1, positions[:, None], 1.0).unflatten(1, features)


def _reached(module: nn.Conv2d, units: Float[Tensor, "positions *features"]) -> Int[Tensor, "outputs"]:
    everywhere = units.new_ones(1, units.shape[1], *module.kernel_size)
    touched = F.conv2d(units.sum(0, keepdim=True), everywhere, None, module.stride, module.padding, module.dilation)
    return touched.flatten().nonzero()[:, 0]


def _convolved_nudge(
    layer: BoundLayer,
    hidden: Float[Tensor, "batch channels rows columns"],
    nudge: Float[Tensor, "batch positions"],
    positions: Int[Tensor, "positions"],
    reached: Int[Tensor, "outputs"] | None,
) -> Float[Tensor, "batch out down across"]:
    """The convolution of `hidden` plus the nudge: the responses to a unit at each position, weighted by the nudge."""
    module: nn.Conv2d = layer.module  # pyrefly: ignore
    units = _units(positions, hidden.shape[1:], nudge.dtype)
    reached = _reached(module, units) if reached is None else reached
    responses = convolve(module, units, layer.parameters["weight"]).movedim(1, -1).flatten(1, 2)[:, reached]
    moved = (nudge @ responses.flatten(1)).unflatten(1, responses.shape[1:])
    output = layer(hidden).movedim(1, -1)
    return output.flatten(1, 2).index_add(1, reached, moved).view_as(output).movedim(-1, 1)
