"""Interval arithmetic: bounds of a network's logits, and of their input gradients, for inputs in a box.

The bounds are sound, not tight: each layer's bounds ignore how the entries of its input depend on each other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import vjp
from torch.nn import functional as F

from .network import BoundLayer, Net, is_affine, is_exactly, without_rule

INCREASING = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten)
"""Layers whose every output does not fall when an input rises."""
AVERAGING = (nn.Flatten, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
"""Linear layers without negative weights."""


class Interval(NamedTuple):
    """Lower and upper bounds of each entry of a tensor."""

    lower: Float[Tensor, "*shape"]
    upper: Float[Tensor, "*shape"]

    @property
    def center(self) -> Float[Tensor, "*shape"]:
        return (self.lower + self.upper) / 2

    @property
    def radius(self) -> Float[Tensor, "*shape"]:
        return (self.upper - self.lower) / 2

    def map(self, function: Callable[[Tensor], Tensor]) -> Interval:
        return Interval(function(self.lower), function(self.upper))


def around(center: Float[Tensor, "*shape"], radius: Float[Tensor, "*shape"]) -> Interval:
    return Interval(center - radius, center + radius)


def logit_bounds(net: Net, box: Interval) -> Interval:
    """Bounds of net(x) for x in the box (Gowal et al. 2018)."""
    return reduce(lambda hidden, layer: forward(layer, hidden), net.layers, box)


def input_gradient_bounds(net: Net, box: Interval, logit_gradient: Callable[[Interval], Interval]) -> Interval:
    """Bounds of d t(net(x)) / dx for x in the box.

    Args:
        logit_gradient: bounds of dt/dz, given bounds of the logits z.
    """
    layers = list(net.layers)
    boxes = [box]
    for layer in layers:
        boxes.append(forward(layer, boxes[-1]))
    gradient = logit_gradient(boxes.pop())
    for layer in reversed(layers):
        gradient = backward(layer, boxes.pop(), gradient)
    return gradient


def probability_bounds(logits: Interval) -> Interval:
    """Bounds of softmax(z): p_k is least where z_k is least and all other logits are greatest."""
    diagonal = torch.eye(logits.lower.shape[-1], dtype=torch.bool, device=logits.lower.device)

    def extreme(logits_k: Tensor, rivals: Tensor) -> Tensor:
        rivals_of_k = rivals.unsqueeze(-2).masked_fill(diagonal, -torch.inf).logsumexp(-1)
        return torch.sigmoid(logits_k - rivals_of_k)

    return Interval(extreme(logits.lower, logits.upper), extreme(logits.upper, logits.lower))


def forward(layer: BoundLayer, box: Interval) -> Interval:
    """Bounds of a layer's output for inputs in the box.

    Raises:
        ValueError: no rule for a layer of this kind.
    """
    if not has_forward_rule(layer.module):
        raise ValueError(_no_rule(layer.module))
    if layer.is_affine:
        return around(layer(box.center), layer.linear(box.radius, absolute=True))
    return box.map(layer)


def backward(layer: BoundLayer, box: Interval, gradient: Interval) -> Interval:
    """Bounds of the gradient at a layer's input, for inputs in the box, from bounds of the gradient at its output.

    Raises:
        ValueError: no rule for a layer of this kind.
    """
    if not has_backward_rule(layer.module):
        raise ValueError(_no_rule(layer.module))
    if layer.is_affine:
        (center,) = vjp(layer.linear, box.lower)[1](gradient.center)
        (radius,) = vjp(lambda hidden: layer.linear(hidden, absolute=True), box.lower)[1](gradient.radius)
        return around(center, radius)
    match layer.module:
        case nn.ReLU():
            return _gated(gradient, surely=box.lower > 0, maybe=box.upper > 0)
        case nn.MaxPool2d() as pool:
            return _from_windows(pool, box, gradient)
        case _:
            transpose = vjp(layer, box.lower)[1]
            return gradient.map(lambda bound: transpose(bound)[0])


def has_forward_rule(layer: nn.Module) -> bool:
    return is_affine(layer) or is_exactly(layer, *INCREASING)


def has_backward_rule(layer: nn.Module) -> bool:
    if is_exactly(layer, nn.MaxPool2d):
        return _tiles(layer)  # pyrefly: ignore
    return is_affine(layer) or is_exactly(layer, *AVERAGING, nn.ReLU)


def without_logit_bounds(module: nn.Module) -> str:
    """Why `logit_bounds` has no bounds for this network; empty if it has."""
    missing = without_rule(module, has_forward_rule)
    return _no_rule(missing) if missing else ""


def without_gradient_bounds(module: nn.Module) -> str:
    """Why `input_gradient_bounds` has no bounds for this network; empty if it has."""
    missing = without_rule(module, lambda layer: has_forward_rule(layer) and has_backward_rule(layer))
    return _no_rule(missing) if missing else ""


def _gated(gradient: Interval, surely: Tensor, maybe: Tensor) -> Interval:
    """Bounds of gradient * slope, with slope 1 where `surely`, 0 where not `maybe`, and in [0, 1] elsewhere."""
    lower = torch.where(surely, gradient.lower, gradient.lower.clamp(max=0) * maybe)
    return Interval(lower, torch.where(surely, gradient.upper, gradient.upper.clamp(min=0) * maybe))


def _from_windows(pool: nn.MaxPool2d, box: Interval, gradient: Interval) -> Interval:
    """Bounds at a max-pool's input: an entry passes its window's gradient if it is the greatest entry of the window."""
    size: int = pool.kernel_size  # pyrefly: ignore
    lower, upper = (_windows(bound, size) for bound in box)
    first, second = upper.topk(2, -1).values.split(1, -1)
    rival = torch.where(upper == first, second, first)
    passed = _gated(
        gradient.map(lambda bound: bound.unsqueeze(-1)),
        surely=lower > rival,
        maybe=upper >= lower.amax(-1, keepdim=True),
    )
    rows, columns = box.lower.shape[-2:]
    return passed.map(lambda windows: _tiled(windows, size, rows, columns))


def _tiles(pool: nn.MaxPool2d) -> bool:
    """Whether the pool's windows are squares that tile the image."""
    size = pool.kernel_size
    return isinstance(size, int) and pool.stride == size and pool.padding == 0 and pool.dilation == 1


def _windows(image: Float[Tensor, "... rows columns"], size: int) -> Float[Tensor, "... down across window"]:
    """The entries of each size x size window that tiles the image."""
    down, across = (side // size for side in image.shape[-2:])
    whole = image[..., : down * size, : across * size]
    return whole.unflatten(-1, (across, size)).unflatten(-3, (down, size)).movedim(-3, -2).flatten(-2)


def _tiled(windows: Float[Tensor, "... down across window"], size: int, rows: int, columns: int) -> Tensor:
    """The inverse of `_windows`, with zeros in rows and columns that no window covers."""
    whole = windows.unflatten(-1, (size, size)).movedim(-2, -3).flatten(-2).flatten(-3, -2)
    return F.pad(whole, (0, columns - whole.shape[-1], 0, rows - whole.shape[-2]))


def _no_rule(layer: nn.Module) -> str:
    """The sentence that says which layer has no rule, and the way out."""
    name = f"{layer}, whose windows do not tile the image" if isinstance(layer, nn.MaxPool2d) else type(layer).__name__
    return f"interval arithmetic has no rule for {name}: use the mlp or lenet, or add a rule to methods/intervals.py"
