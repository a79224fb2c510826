"""A multilayer perceptron that ends in a softmax: what a loss takes for logits are probabilities."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from .base import networks
from .mlp import MLP


class SoftmaxHead(nn.Module):
    """softmax(W h + b); no `nn.Linear`, so that what takes an affine head apart refuses it."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, hidden: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
        return self.linear(hidden).softmax(-1)


@networks.register
class SoftmaxMLP(MLP):
    """Dense layers, then a softmax before the loss's own: what Ghitu et al. 2025 released.

    The loss cannot fall below log(1 + (K - 1) / e): 1.46 for 10 classes. For their numbers, not for new ones.
    """

    name: ClassVar[str] = "softmax_mlp"

    def layers(self, features: tuple[int, ...], classes: int) -> tuple[OrderedDict[str, nn.Module], nn.Module]:
        layers, head = super().layers(features, classes)
        return layers, SoftmaxHead(head)
