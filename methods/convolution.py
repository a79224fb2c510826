"""Convolutions whose second derivatives are convolutions of the usual kinds.

A convolution x * w is linear in x and in w, so its derivatives are convolutions again, here with the gradient g of its
output:

    forward(x, w)      wrt x: input(g, w)     wrt w: weight(g, x)
    input(g, w)        wrt g: forward(v, w)   wrt w: weight(g, v)       for a cotangent v like x
    weight(g, x)       wrt g: forward(x, u)   wrt x: input(g, u)        for a cotangent u like w

PyTorch's own double backward turns weight(g, v) into a forward convolution with the batch as channels, which is twice
as slow on a CPU.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


class Geometry(NamedTuple):
    """The settings of a convolution beside its weight."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int

    def backward(self, grad: Tensor, inputs: Tensor, weight: Tensor, wanted: tuple[bool, bool]) -> tuple[Any, Any]:
        """The `wanted` derivatives: input(grad, weight), weight(grad, inputs); None where a derivative is not wanted.

        The argument that a derivative is taken of lends its shape and layout alone.
        """
        wrt_inputs, wrt_weight, _ = torch.ops.aten.convolution_backward(
            grad, inputs, weight, None, self.stride, self.padding, self.dilation, False, (0, 0), self.groups,
            (*wanted, False),
        )  # fmt: skip
        return wrt_inputs, wrt_weight


def is_of_zeros(layer: nn.Conv2d) -> bool:
    """Whether `convolve` can stand for the layer: its padding is a number of zeros, or none."""
    return not isinstance(layer.padding, str) and layer.padding_mode == "zeros"


def convolve(
    layer: nn.Conv2d,
    inputs: Float[Tensor, "batch channels rows columns"],
    weight: Float[Tensor, "out in high wide"],
    bias: Float[Tensor, "out"] | None = None,
) -> Float[Tensor, "batch out down across"]:
    """The layer's convolution of `inputs` with `weight` and `bias` in place of the layer's own parameters.

    Raises:
        ValueError: the layer's padding is not of zeros, or not given as numbers.
    """
    if not is_of_zeros(layer):
        raise ValueError(f"{layer}: give its padding as numbers, and set padding_mode='zeros'")
    geometry = Geometry(layer.stride, layer.padding, layer.dilation, layer.groups)  # pyrefly: ignore[bad-argument-type]
    return _Forward.apply(inputs, weight, bias, geometry)


class _Linear(torch.autograd.Function):
    """A map that is linear in each of its first two arguments."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.geometry = inputs
        ctx.save_for_backward(*tensors)


class _Forward(_Linear):
    @staticmethod
    def forward(inputs: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        return F.conv2d(inputs, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyrefly: ignore[bad-override]
        inputs, weight, _ = ctx.saved_tensors
        return (
            _Input.apply(grad, weight, inputs.detach(), ctx.geometry) if ctx.needs_input_grad[0] else None,
            _Weight.apply(grad, inputs, weight.detach(), ctx.geometry) if ctx.needs_input_grad[1] else None,
            grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None,
            None,
        )


class _Input(_Linear):
    @staticmethod
    def forward(grad: Tensor, weight: Tensor, like: Tensor, geometry: Geometry) -> Tensor:
        return geometry.backward(grad, like, weight, (True, False))[0]

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:  # pyrefly: ignore[bad-override]
        grad, weight, _ = ctx.saved_tensors
        return (
            _Forward.apply(cotangent, weight, None, ctx.geometry) if ctx.needs_input_grad[0] else None,
            _Weight.apply(grad, cotangent, weight.detach(), ctx.geometry) if ctx.needs_input_grad[1] else None,
            None,
            None,
        )


class _Weight(_Linear):
    @staticmethod
    def forward(grad: Tensor, inputs: Tensor, like: Tensor, geometry: Geometry) -> Tensor:
        return geometry.backward(grad, inputs, like, (False, True))[1]

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:  # pyrefly: ignore[bad-override]
        grad, inputs, _ = ctx.saved_tensors
        return (
            _Forward.apply(inputs, cotangent, None, ctx.geometry) if ctx.needs_input_grad[0] else None,
            _Input.apply(grad, cotangent, inputs.detach(), ctx.geometry) if ctx.needs_input_grad[1] else None,
            None,
            None,
        )
