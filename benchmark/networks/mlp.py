"""The multilayer perceptron of Ross et al. 2017."""

from __future__ import annotations

import math
from collections import OrderedDict
from itertools import pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import nn

from ...methods.network import SharedLinear
from .base import NetworkRecipe, networks


@networks.register
class MLP(NetworkRecipe):
    """Dense layers with ReLU.

    The defaults are Ross's (papers' code, section 3.1): 50 and 30 hidden units, weights and biases from N(0, 0.1^2).
    `init="torch"` is PyTorch's default (uniform within 1 / sqrt(inputs)), for inputs in [0, 1] and wider layers.
    """

    name: ClassVar[str] = "mlp"

    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, description="hidden units, layer by layer")
    ] = (50, 30)
    init: Literal["ross", "torch"] = "ross"

    def layers(self, features: tuple[int, ...], classes: int) -> tuple[OrderedDict[str, nn.Module], nn.Module]:
        sizes = (math.prod(features), *self.hidden)
        layers = OrderedDict[str, nn.Module](flatten=nn.Flatten())
        for i, (inputs, outputs) in enumerate(pairwise(sizes)):
            layers[f"linear{i}"] = (SharedLinear if i == 0 else nn.Linear)(inputs, outputs)
            layers[f"relu{i}"] = nn.ReLU()
        head = nn.Linear(sizes[-1], classes)
        if self.init == "ross":
            for parameter in (*nn.Sequential(layers).parameters(), *head.parameters()):
                nn.init.normal_(parameter, std=0.1)
        return layers, head
