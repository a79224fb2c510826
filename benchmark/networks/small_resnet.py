"""A residual network with GroupNorm that trains in minutes on two cores."""

from __future__ import annotations

from collections import OrderedDict
from typing import Annotated, ClassVar, Literal

from pydantic import Field
from torch import nn

from .base import NetworkRecipe, networks, require_image


@networks.register
class SmallResNet(NetworkRecipe):
    """The network of He et al. 2016, section 4.2: three stages of 16, 32 and 64 channels, 6 `blocks` + 2 layers.

    GroupNorm replaces BatchNorm, because BatchNorm couples the inputs of a batch; a 1x1 convolution carries the
    shortcut where channels change (their option B). The blocks are torchvision's, with ReLUs out of place.
    """

    name: ClassVar[str] = "small_resnet"

    blocks: Annotated[int, Field(ge=1, description="residual blocks a stage; 3 is ResNet-20")] = 1
    groups: Literal[1, 2, 4, 8, 16] = 8

    def layers(self, features: tuple[int, ...], classes: int) -> tuple[OrderedDict[str, nn.Module], nn.Linear]:
        require_image(self.name, features, smallest=8)
        layers = OrderedDict[str, nn.Module](
            conv=nn.Conv2d(features[0], 16, 3, padding=1, bias=False), norm=self._norm(16), relu=nn.ReLU()
        )
        before = 16
        for stage, channels in enumerate((16, 32, 64)):
            for block in range(self.blocks):
                layers[f"stage{stage}_block{block}"] = self._block(before, channels)
                before = channels
        layers.update(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten())
        return layers, nn.Linear(64, classes)

    def _norm(self, channels: int) -> nn.GroupNorm:
        return nn.GroupNorm(self.groups, channels)

    def _block(self, before: int, channels: int) -> nn.Module:
        from torchvision.models.resnet import BasicBlock  # takes seconds to import

        stride, shortcut = 1, None
        if before != channels:
            stride = 2
            shortcut = nn.Sequential(nn.Conv2d(before, channels, 1, stride, bias=False), self._norm(channels))
        block = BasicBlock(before, channels, stride, shortcut, norm_layer=self._norm)
        block.relu.inplace = False
        return block
