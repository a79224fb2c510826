"""A dataset small enough to train on in a test: 3 classes, 1x6x6 inputs, a 2x2 shortcut in one of two corners."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from rrrbench.benchmark.engine import Trainer
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.training import Training
from rrrbench.datasets.base import ENVIRONMENTS, ShortcutDataset, Split, draw_shortcuts, generator

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


def small_trainer(
    strengths=(0.0, 0.5), seeds=(0, 1), *, draws=None, network="mlp", engine="stacked", dtype=torch.float64, **training
) -> Trainer:
    settings = {"epochs": 3, "batch_size": 8, **training}
    draws = draws or [small_dataset(seed, correlation=0.5) for seed in seeds]  # with a minority, for those who need one
    spec = {"name": "mlp", "hidden": [7, 5], "init": "torch"} if network == "mlp" else network
    table = torch.tensor([list(strengths)] * len(draws), dtype=torch.float64)
    return Trainer(networks.resolve(spec), draws, Training(**settings), table, engine=engine, dtype=dtype)
