"""A vision transformer that trains in minutes on two cores."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, ClassVar, Self

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor, nn

from .base import NetworkRecipe, networks, require_image


class PatchTokens(nn.Module):
    """Embeds each patch of an image linearly, and adds a learned vector for its place."""

    def __init__(self, channels: int, patch: int, width: int, tokens: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.places = nn.Parameter(torch.randn(tokens, width) * 0.02)

    def forward(
        self, inputs: Float[Tensor, "batch channels rows columns"]
    ) -> Float[Tensor, "batch {self.places.shape[0]} width"]:
        return self.patches(inputs).flatten(2).mT + self.places


class TokenMean(nn.Module):
    """The mean over the tokens."""

    def forward(self, hidden: Float[Tensor, "batch tokens width"]) -> Float[Tensor, "batch width"]:
        return hidden.mean(1)


@networks.register
class SmallViT(NetworkRecipe):
    """The vision transformer of Dosovitskiy et al. 2021, small, with the mean over tokens in place of a class token.

    The mean is as in Beyer et al. 2022 ("Better plain ViT baselines"). Blocks are PyTorch's, with the normalisation
    first and without dropout; attention is computed by the kernel that has a second derivative.
    """

    name: ClassVar[str] = "small_vit"

    patch: Annotated[int, Field(ge=1, description="side of a patch, in pixels")] = 4
    width: Annotated[int, Field(ge=1, description="numbers a token; a multiple of `heads`")] = 64
    depth: Annotated[int, Field(ge=1, description="blocks of attention")] = 4
    heads: Annotated[int, Field(ge=1, description="heads of attention a block")] = 4

    @model_validator(mode="after")
    def _width_for_each_head(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} is no multiple of heads = {self.heads}: each head has its share")
        return self

    def layers(self, features: tuple[int, ...], classes: int) -> tuple[OrderedDict[str, nn.Module], nn.Linear]:
        require_image(self.name, features, smallest=self.patch)
        if any(side % self.patch for side in features[1:]):
            raise ValueError(
                f"{self.name} cuts images into patches of {self.patch}x{self.patch} pixels, which do not fill "
                f"{features[1]}x{features[2]}: give `patch` a divisor of both sides"
            )
        tokens = (features[1] // self.patch) * (features[2] // self.patch)
        layers = OrderedDict[str, nn.Module](tokens=PatchTokens(features[0], self.patch, self.width, tokens))
        for block in range(self.depth):
            layers[f"block{block}"] = nn.TransformerEncoderLayer(
                self.width,
                self.heads,
                2 * self.width,
                dropout=0.0,
                activation="gelu",
                batch_first=True,
                norm_first=True,
            )
        layers.update(norm=nn.LayerNorm(self.width), mean=TokenMean())
        return layers, nn.Linear(self.width, classes)
