"""Toy Colors: 5x5 images with two rules, each of which tells the classes apart."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from pydantic import Field

from .base import ShortcutDataset, Split, generator
from .exchange import as_split, exchange
from .recipe import Recipe, datasets

PALETTE = np.array([(255, 0, 0), (0, 255, 0), (0, 128, 255), (128, 0, 255)], dtype=np.uint8)
MIDDLE = slice(1, 4)  # columns of the top row


@datasets.register
class ToyColors(Recipe):
    """Draws images of 5x5 pixels in four random colours; class 0 satisfies two rules, class 1 satisfies neither.

    Rules: `corners`, all four corners are equal; `top_middle`, the three middle pixels of the top row are pairwise
    different. Either rule can be the shortcut; its value is 0 if the rule's pixels satisfy it and 1 if they violate it.
    Given the class, the pixels of the two rules are independent. So an input with another value than its label takes
    the shortcut's pixels from an independent image of the other class. There is no `clean` environment, because the
    pixels always have a value. With `both` rules as the shortcut no other pixel tells the class, so only `aligned`
    can be learned: the paper's control.
    Core: the pixels of the other rule. Validation: a tenth as many images as training, drawn independently.

    Ross, Hughes & Doshi-Velez, IJCAI 2017 (`toy_colors.py`). Drawn from scratch: no licence.
    """

    name = "toy-colors"

    shortcut: Annotated[Literal["corners", "top_middle", "both"], Field(description="rule that is the shortcut")] = (
        "corners"
    )
    train_inputs: Annotated[int, Field(ge=10, description="images to train on")] = 20_000
    test_inputs: Annotated[int, Field(ge=1, description="images per environment")] = 20_000

    def render(self, seed: int) -> ShortcutDataset:
        mask = np.zeros((1, 5, 5), dtype=bool)
        if self.shortcut != "top_middle":
            mask[:, ::4, ::4] = True
        if self.shortcut != "corners":
            mask[:, 0, MIDDLE] = True
        rules = np.zeros_like(mask)
        rules[:, ::4, ::4] = rules[:, 0, MIDDLE] = True
        core = None if self.shortcut == "both" else rules & ~mask

        def biased(part: str, n: int) -> Split:
            labels, images = _labelled(n, generator(seed, part))
            return as_split(images, labels, np.repeat(mask[None], n, axis=0), labels, core)

        labels, images = _labelled(self.test_inputs, generator(seed, "test"))
        donors = draw_images(1 - labels, generator(seed, "test/donors"))
        return ShortcutDataset(
            id=self.id,
            seed=seed,
            class_shortcuts=torch.arange(2),
            train=biased("train", self.train_inputs),
            validation=biased("validation", self.train_inputs // 10),
            environments=exchange(
                images, donors, labels, mask, ("aligned", "random", "conflict", "reversed"), seed, core
            ),
            native_range=(0.0, 255.0),
        )


def draw_images(labels: Int[np.ndarray, "n"], rng: np.random.Generator) -> UInt8[np.ndarray, "n 3 5 5"]:
    """Draws independent images of the given classes; redraws pixels until both rules hold or both are violated."""
    pixels = rng.integers(0, 4, (len(labels), 5, 5))
    first, second = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    pixels[first[:, None, None], [[0], [4]], [0, 4]] = pixels[first, 4, 4][:, None, None]
    right = rng.random(len(second)) < 0.5
    for column, rows in ((4, second[right]), (0, second[~right])):
        _redraw_corner(pixels, rows, column, rng)
    _redraw_middle(pixels, labels, rng)
    return np.ascontiguousarray(PALETTE[pixels].transpose(0, 3, 1, 2))


def _labelled(n: int, rng: np.random.Generator) -> tuple[Int[np.ndarray, "n"], UInt8[np.ndarray, "n 3 5 5"]]:
    labels = rng.integers(0, 2, n)
    return labels, draw_images(labels, rng)


def _redraw_corner(
    pixels: Int[np.ndarray, "n 5 5"], rows: Int[np.ndarray, "k"], column: int, rng: np.random.Generator
) -> None:
    """Redraws a top corner until it differs from the diagonally opposite corner."""
    while len(rows := rows[pixels[rows, 0, column] == pixels[rows, 4, 4 - column]]):
        pixels[rows, 0, column] = rng.integers(0, 4, len(rows))


def _redraw_middle(pixels: Int[np.ndarray, "n 5 5"], labels: Int[np.ndarray, "n"], rng: np.random.Generator) -> None:
    """Redraws random pixels of the middle three until all differ (class 0) or two are equal (class 1)."""
    rows = np.arange(len(labels))
    while len(rows := rows[_all_differ(pixels[rows, 0, MIDDLE]) != (labels[rows] == 0)]):
        pixels[rows, 0, rng.integers(1, 4, len(rows))] = rng.integers(0, 4, len(rows))


def _all_differ(triples: Int[np.ndarray, "n 3"]) -> Bool[np.ndarray, "n"]:
    return (triples != np.roll(triples, 1, axis=1)).all(axis=1)
