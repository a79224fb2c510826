"""The convolutional network of CDEP and of the XIL typology."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

from torch import nn

from .base import NetworkRecipe, networks, require_image


@networks.register
class LeNet(NetworkRecipe):
    """conv 20 (5x5), max-pool, conv 50 (5x5), max-pool, dense 256 (Rieger et al. 2020; Friedrich et al. 2023)."""

    name: ClassVar[str] = "lenet"

    def layers(self, features: tuple[int, ...], classes: int) -> tuple[OrderedDict[str, nn.Module], nn.Linear]:
        require_image(self.name, features, smallest=16)
        channels, *sides = features
        rows, columns = (((side - 4) // 2 - 4) // 2 for side in sides)
        layers = OrderedDict[str, nn.Module](
            conv0=nn.Conv2d(channels, 20, 5),
            pool0=nn.MaxPool2d(2),
            relu0=nn.ReLU(),
            conv1=nn.Conv2d(20, 50, 5),
            pool1=nn.MaxPool2d(2),
            relu1=nn.ReLU(),
            flatten=nn.Flatten(),
            linear=nn.Linear(50 * rows * columns, 256),
            relu2=nn.ReLU(),
        )
        return layers, nn.Linear(256, classes)
