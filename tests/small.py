"""A dataset small enough to train on in a test: 3 classes, 1x6x6 inputs, a 2x2 shortcut in one of two corners."""

from __future__ import annotations

from dataclasses import replace

import torch
from rrrbench.benchmark.engine import Trainer
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.training import Training
from rrrbench.datasets.base import ENVIRONMENTS, ShortcutDataset, Split, draw_shortcuts, generator

CLASSES, SIDE = 3, 6


def small_split(seed: int, stream: str, environment: str, n: int = 24) -> Split:
    rng = generator(seed, f"small/{stream}")
    labels = rng.integers(0, CLASSES, n)
    inputs = torch.from_numpy(rng.random((n, 1, SIDE, SIDE))).float() * 0.5
    for i, label in enumerate(labels):
        inputs[i, 0, 2:4, 2 * label : 2 * label + 2] += 0.4  # what the class is really about
    shortcuts = draw_shortcuts(environment, labels, torch.arange(CLASSES).numpy(), generator(seed, environment))
    masks = torch.zeros(n, 1, SIDE, SIDE, dtype=torch.bool)
    if environment != "clean":
        masks[: n // 2, :, :2, :2] = True
        masks[n // 2 :, :, -2:, -2:] = True
        shade = torch.from_numpy(shortcuts).float() / CLASSES
        inputs = torch.where(masks, shade[:, None, None, None], inputs)
    return Split(inputs, torch.from_numpy(labels), masks, torch.from_numpy(shortcuts))


def small_dataset(seed: int = 0) -> ShortcutDataset:
    return ShortcutDataset(
        "small",
        seed,
        torch.arange(CLASSES),
        small_split(seed, "train", "aligned"),
        small_split(seed, "validation", "aligned"),
        {environment: small_split(seed, "test", environment) for environment in ENVIRONMENTS},
    )


def without_masks(dataset: ShortcutDataset) -> ShortcutDataset:
    return replace(dataset, train=replace(dataset.train, masks=torch.zeros_like(dataset.train.masks)))


def small_trainer(
    strengths=(0.0, 0.5), seeds=(0, 1), *, draws=None, network="mlp", engine="stacked", dtype=torch.float64, **training
) -> Trainer:
    settings = {"epochs": 3, "batch_size": 8, **training}
    draws = draws or [small_dataset(seed) for seed in seeds]
    spec = {"name": "mlp", "hidden": [7, 5], "init": "torch"} if network == "mlp" else network
    table = torch.tensor([list(strengths)] * len(draws), dtype=torch.float64)
    return Trainer(networks.resolve(spec), draws, Training(**settings), table, engine=engine, dtype=dtype)
