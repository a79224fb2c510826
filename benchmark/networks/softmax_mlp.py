"""A multilayer perceptron that ends in a softmax: the loss takes its probabilities for logits."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from .base import networks
from .mlp import MLP


class SoftmaxHead(nn.Module):
    """Computes softmax(W h + b). Not an `nn.Linear`, so that methods for affine heads refuse it."""

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, hidden: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch classes"]:
        return self.linear(hidden).softmax(-1)


@networks.register
class SoftmaxMLP(MLP):
    """Dense layers, then a softmax before the softmax of the loss, as in the released code of Ghitu et al. 2025.

    The loss cannot fall below log(1 + (K - 1) / e): 1.46 for 10 classes. Use it to reproduce their numbers only.
    """

    name: ClassVar[str] = "softmax_mlp"

    def gives_probabilities(self) -> bool:
        return True

    def layers(self, features: tuple[int, ...], classes: int) -> tuple[OrderedDict[str, nn.Module], nn.Module]:
        layers, head = super().layers(features, classes)
        return layers, SoftmaxHead(head)
