"""DeepLIFT's rule for max pooling, which captum 0.9 breaks.

Captum puts a window's contribution where its maximum is, and of several windows with the same maximum it keeps one (the
pooling of ResNet has a kernel of 3 and a stride of 2); where an input equals its baseline it takes the gradient of the
batch's first input. Here contributions are summed, and each input has its own gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

POOLINGS = {nn.MaxPool1d: F.max_pool1d, nn.MaxPool2d: F.max_pool2d, nn.MaxPool3d: F.max_pool3d}
SAME = 1e-10
"""Inputs that differ less from their baselines have the gradient as multiplier; captum's number."""


class RescaledMaxPool(nn.Module):
    """Max pooling of inputs and, in the batch's second half, baselines; its gradient is DeepLIFT's multiplier."""

    def __init__(self, pooling: nn.Module) -> None:
        super().__init__()
        self.pooling: Any = pooling

    def forward(self, inputs: Float[Tensor, "both channels *places"]) -> Float[Tensor, "both channels *pooled"]:
        """Pools."""
        return _RescaledMax.apply(inputs, self.pooling)  # pyrefly: ignore


class _RescaledMax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, pooling: Any) -> Tensor:
        pooled, places = POOLINGS[type(pooling)](
            inputs, pooling.kernel_size, pooling.stride, pooling.padding, pooling.dilation, pooling.ceil_mode, True
        )
        ctx.save_for_backward(inputs, pooled, places)
        return pooled

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # pyrefly: ignore
        inputs, pooled, places = ctx.saved_tensors
        (gradient,) = gradients

        def put_back(values: Tensor) -> Tensor:
            empty = torch.zeros_like(inputs).flatten(2)
            return empty.scatter_add(2, places.flatten(2), values.flatten(2)).view_as(inputs)

        of_input, of_baseline = pooled.chunk(2)
        larger = torch.maximum(of_input, of_baseline)
        contributions = put_back(gradient * torch.cat([larger - of_baseline, of_input - larger]))
        difference = inputs.chunk(2)[0] - inputs.chunk(2)[1]
        multiplier = sum(contributions.chunk(2)) / difference
        both = torch.cat([difference.abs(), difference.abs()])
        return torch.where(both < SAME, put_back(gradient), torch.cat([multiplier, multiplier])), None


def rescale_max_pooling(copied: nn.Module) -> None:
    """Replaces the max poolings of a model's copy."""
    for parent in list(copied.modules()):
        for name, child in list(parent._modules.items()):
            if type(child) in POOLINGS and not child.return_indices:  # pyrefly: ignore
                parent._modules[name] = RescaledMaxPool(child)  # pyrefly: ignore
