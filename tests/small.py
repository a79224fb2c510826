"""A dataset small enough to train on in a test: 3 classes, 1x6x6 inputs, a 2x2 shortcut in one of two corners."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import partial
from typing import ClassVar

import torch
from rrrbench.benchmark.engine import Trainer
from rrrbench.benchmark.networks import NetworkRecipe, networks
from rrrbench.benchmark.stacking import of_seed
from rrrbench.benchmark.training import Training
from rrrbench.datasets.base import ENVIRONMENTS, Batch, ShortcutDataset, Split, draw_shortcuts, generator
from rrrbench.methods.base import Mitigation
from rrrbench.methods.network import Net
from torch import nn

CLASSES, SIDE = 3, 6


def small_split(
    seed: int, stream: str, environment: str, n: int = 24, signal: float = 0.4, correlation: float = 1.0
) -> Split:
    rng = generator(seed, f"small/{stream}")
    labels = rng.integers(0, CLASSES, n)
    inputs = torch.from_numpy(rng.random((n, 1, SIDE, SIDE))).float() * 0.5
    for i, label in enumerate(labels):
        inputs[i, 0, 2:4, 2 * label : 2 * label + 2] += signal  # what the class is really about
    draws = generator(seed, environment)
    shortcuts = draw_shortcuts(environment, labels, torch.arange(CLASSES).numpy(), draws, correlation)
    masks = torch.zeros(n, 1, SIDE, SIDE, dtype=torch.bool)
    if environment != "clean":
        masks[: n // 2, :, :2, :2] = True
        masks[n // 2 :, :, -2:, -2:] = True
        shade = torch.from_numpy(shortcuts).float() / CLASSES
        inputs = torch.where(masks, shade[:, None, None, None], inputs)
    return Split(inputs, torch.from_numpy(labels), masks, torch.from_numpy(shortcuts))


def small_dataset(seed: int = 0, n: int = 24, signal: float = 0.4, correlation: float = 1.0) -> ShortcutDataset:
    """The dataset with `n` inputs a split; the weaker the signal, the more a network likes the shortcut."""

    def split(stream: str, environment: str) -> Split:
        return small_split(seed, stream, environment, n, signal, correlation)

    train, validation = split("train", "aligned"), split("validation", "aligned")
    test = {environment: split("test", environment) for environment in ENVIRONMENTS}
    clean = partial(split, "train", "clean")
    return ShortcutDataset("small", seed, torch.arange(CLASSES), train, validation, test, clean_train=clean)


def without_masks(dataset: ShortcutDataset) -> ShortcutDataset:
    return replace(dataset, train=replace(dataset.train, masks=torch.zeros_like(dataset.train.masks)))


class SmallConvolutional(NetworkRecipe):
    """The smallest network with all that lenet has: 6x6 inputs become 2x2 feature maps."""

    name: ClassVar[str] = "small_convolutional"

    def layers(self, features, classes):
        layers = OrderedDict(
            conv=nn.Conv2d(features[0], 4, 3),
            pool=nn.MaxPool2d(2),
            relu0=nn.ReLU(),
            flatten=nn.Flatten(),
            linear=nn.Linear(16, 6),
            relu1=nn.ReLU(),
        )
        return layers, nn.Linear(6, classes)


def small_network(mitigation: Mitigation, **parameters) -> NetworkRecipe:
    """The smallest network that the mitigation can run on."""
    if mitigation.needs_convolutions:
        return SmallConvolutional(**parameters)
    return networks.resolve({"name": "mlp", "hidden": [7, 5], "init": "torch", **parameters})


def small_trainer(
    strengths=(0.0, 0.5),
    seeds=(0, 1),
    *,
    draws=None,
    correlation=1.0,
    network="mlp",
    engine="stacked",
    dtype=torch.float64,
    auto=False,
    **training,
) -> Trainer:
    settings = {"epochs": 3, "batch_size": 8, **training}
    draws = draws or [small_dataset(seed, correlation=correlation) for seed in seeds]
    spec = {"name": "mlp", "hidden": [7, 5], "init": "torch"} if network == "mlp" else network
    table = torch.tensor([list(strengths)] * len(draws), dtype=torch.float64)
    recipe = spec if isinstance(spec, NetworkRecipe) else networks.resolve(spec)
    return Trainer(recipe, draws, Training(**settings), table, engine=engine, dtype=dtype, auto=auto)


def trainer_for(mitigation: Mitigation, strengths=(0.0, 0.5), *, pixel_range="unit", **settings) -> Trainer:
    """A small trainer with the network and, if it needs one, the minority that the mitigation can work with."""
    network = small_network(mitigation, pixel_range=pixel_range)
    return small_trainer(strengths, network=network, correlation=0.5 if mitigation.needs_minority else 1.0, **settings)


class Linear(nn.Module):
    """Logits W x: its features are the flattened input."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Flatten())
        self.head = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
        self.head.weight.data = weight

    def forward(self, inputs):
        return self.head(self.features(inputs))


def bound(module: nn.Module) -> Net:
    return Net(module, dict(module.named_parameters()))


def small_net_and_batch(network="mlp", n: int = 6) -> tuple[Net, Batch]:
    trainer = small_trainer(network=network)
    return bound(trainer.modules[0]), of_seed(trainer.train_data.batch(slice(0, n), torch.float64), 0)
