"""ResNet-18 for small images, with GroupNorm."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar, Literal

from torch import nn

from .base import NetworkRecipe, networks, require_image


@networks.register
class ResNet18(NetworkRecipe):
    """The network of He et al. 2016 in its 32x32 form: 3x3 stem without stride or pooling.

    GroupNorm replaces BatchNorm, because BatchNorm couples the inputs of a batch. The blocks are torchvision's, with
    ReLUs out of place.
    """

    name: ClassVar[str] = "resnet18"

    groups: Literal[1, 2, 4, 8, 16, 32, 64] = 8

    def layers(self, features: tuple[int, ...], classes: int) -> tuple[OrderedDict[str, nn.Module], nn.Linear]:
        from torchvision.models import resnet18  # takes seconds to import

        require_image(self.name, features, smallest=16)
        whole = resnet18(num_classes=classes, norm_layer=lambda channels: nn.GroupNorm(self.groups, channels))
        for module in whole.modules():
            if isinstance(module, nn.ReLU):
                module.inplace = False
        stem = nn.Conv2d(features[0], 64, 3, padding=1, bias=False)
        layers = OrderedDict[str, nn.Module](conv=stem, norm=whole.bn1, relu=nn.ReLU())
        layers.update((name, getattr(whole, name)) for name in ("layer1", "layer2", "layer3", "layer4"))
        layers.update(pool=whole.avgpool, flatten=nn.Flatten())
        return layers, whole.fc
