"""A dataset small enough to train on in a second: 3 classes, 1x6x6 inputs, a 2x2 shortcut in one of two corners."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, ClassVar

import torch
from torch import nn

from ...datasets.base import ENVIRONMENTS, Environment, ShortcutDataset, Split, draw_shortcuts, generator
from ...methods.base import Mitigation
from ..engine.plan import Engine
from ..engine.trainer import Trainer
from ..networks import NetworkRecipe, networks
from ..suite.training import Training

CLASSES, SIDE = 3, 6


def small_split(
    seed: int, stream: str, environment: Environment, n: int = 24, signal: float = 0.4, correlation: float = 1.0
) -> Split:
    """Draws noise with a brighter square at the class's place, the core, and the shortcut's shade in a corner."""
    rng = generator(seed, f"small/{stream}")
    labels = rng.integers(0, CLASSES, n)
    inputs = torch.from_numpy(rng.random((n, 1, SIDE, SIDE))).float() * 0.5
    core = torch.zeros(n, 1, SIDE, SIDE, dtype=torch.bool)
    for i, label in enumerate(labels):
        core[i, 0, 2:4, 2 * label : 2 * label + 2] = True
    inputs[core] += signal  # the right reason for the class
    draws = generator(seed, environment)
    shortcuts = draw_shortcuts(environment, labels, torch.arange(CLASSES).numpy(), draws, correlation)
    masks = torch.zeros(n, 1, SIDE, SIDE, dtype=torch.bool)
    if environment != "clean":
        masks[: n // 2, :, :2, :2] = True
        masks[n // 2 :, :, -2:, -2:] = True
        shade = torch.from_numpy(shortcuts).float() / CLASSES
        inputs = torch.where(masks, shade[:, None, None, None], inputs)
    return Split(inputs, torch.from_numpy(labels), masks, torch.from_numpy(shortcuts), core=core)


def small_dataset(seed: int = 0, n: int = 24, signal: float = 0.4, correlation: float = 1.0) -> ShortcutDataset:
    """Draws the dataset with `n` inputs a split; the weaker the signal, the more a network relies on the shortcut."""

    def part(stream: str, environment: Environment) -> Split:
        return small_split(seed, stream, environment, n, signal, correlation)

    train, validation = part("train", "aligned"), part("validation", "aligned")
    test: dict[str, Split] = {environment: part("test", environment) for environment in ENVIRONMENTS}
    clean = partial(part, "train", "clean")
    return ShortcutDataset("small", seed, torch.arange(CLASSES), train, validation, test, clean_train=clean)


def trained_part(dataset: ShortcutDataset, n: int) -> ShortcutDataset:
    """The dataset with the first `n` inputs of its training and validation splits."""
    return replace(dataset, train=dataset.train.rows(slice(n)), validation=dataset.validation.rows(slice(n)))


def without_masks(dataset: ShortcutDataset) -> ShortcutDataset:
    """Empties the masks and the core masks of the training inputs."""
    masks, core = dataset.train.masks[:], dataset.train.core
    nowhere = None if core is None else torch.zeros_like(core)
    return replace(dataset, train=replace(dataset.train, masks=torch.zeros_like(masks), core=nowhere))


class SmallConvolutional(NetworkRecipe):
    """The smallest network with every kind of layer that lenet has: 6x6 inputs become 2x2 feature maps."""

    name: ClassVar[str] = "small_convolutional"

    def layers(self, features: tuple[int, ...], classes: int) -> tuple[OrderedDict[str, nn.Module], nn.Linear]:
        layers: OrderedDict[str, nn.Module] = OrderedDict(
            conv=nn.Conv2d(features[0], 4, 3),
            pool=nn.MaxPool2d(2),
            relu0=nn.ReLU(),
            flatten=nn.Flatten(),
            linear=nn.Linear(16, 6),
            relu1=nn.ReLU(),
        )
        return layers, nn.Linear(6, classes)


def needs_convolutions(mitigation: Mitigation) -> bool:
    """Whether a dense network is an obstacle to the mitigation, and a convolutional network is none."""
    draw, dense, convolutional = _draw_and_networks()
    return bool(mitigation.obstacle(draw, dense)) and not mitigation.obstacle(draw, convolutional)


@cache
def _draw_and_networks() -> tuple[ShortcutDataset, nn.Module, nn.Module]:
    draw = small_dataset(correlation=0.5)
    return draw, small_mlp().build(draw, 0), SmallConvolutional().build(draw, 0)


def small_mlp(**parameters: Any) -> NetworkRecipe:
    """The smallest network."""
    return networks.resolve({"name": "mlp", "hidden": [7, 5], "init": "torch", **parameters})


def small_network(mitigation: Mitigation, **parameters: Any) -> NetworkRecipe:
    """Makes the smallest network that the mitigation can train."""
    return (SmallConvolutional if needs_convolutions(mitigation) else small_mlp)(**parameters)


def small_trainer(
    strengths: Sequence[float] = (0.0, 0.5),
    seeds: Sequence[int] = (0, 1),
    *,
    draws: Sequence[ShortcutDataset] | None = None,
    correlation: float = 1.0,
    network: str | dict[str, Any] | NetworkRecipe = "mlp",
    engine: Engine = "stacked",
    dtype: torch.dtype = torch.float64,
    auto: bool = False,
    **training: Any,
) -> Trainer:
    """Makes a trainer of three epochs on 24 inputs, unless `training` or `draws` say otherwise."""
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 8, **training}
    draws = draws or [small_dataset(seed, correlation=correlation) for seed in seeds]
    table = torch.tensor([list(strengths)] * len(draws), dtype=torch.float64)
    spec = small_mlp() if network == "mlp" else network
    recipe = spec if isinstance(spec, NetworkRecipe) else networks.resolve(spec)
    return Trainer(recipe, draws, Training(**settings), table, engine=engine, dtype=dtype, auto=auto)


def trainer_for(
    mitigation: Mitigation, strengths: Sequence[float] = (0.0, 0.5), *, pixel_range: Any = "unit", **settings: Any
) -> Trainer:
    """Makes a small trainer that suits the mitigation: a network that it can train, and a minority if it needs one."""
    network = small_network(mitigation, pixel_range=pixel_range)
    return small_trainer(strengths, network=network, correlation=0.5 if mitigation.needs_minority else 1.0, **settings)
