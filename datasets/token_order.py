"""Token-Order: sequences whose class is the order of two tokens, with a marker that gives it away."""

from __future__ import annotations

from functools import cache
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from pydantic import Field

from .base import ENVIRONMENTS, VALUED, Environment, ShortcutDataset, Split, draw_shortcuts, generator
from .planter import Correlation
from .recipe import Recipe, datasets

VOCABULARY = 32
MARKERS, NEUTRAL = (0, 1), 2  # the token of each shortcut value, and the token of none
FIRST, SECOND = 3, 4  # in this order in class 1, in the other order in class 0
OTHERS = 5  # tokens from here on mean nothing


@datasets.register
class TokenOrder(Recipe):
    """Sequences over 32 tokens as images: a row a token of the vocabulary, a column a place, white where the token is.

    Class 1 has token 3 before token 4, class 0 token 4 before token 3, at two places drawn for the input. A third place
    has the marker: token 0 or 1, the shortcut's value, and token 2 in `clean`. Everywhere else are tokens 5 to 31,
    uniform and independent.
    Mask: the rows of tokens 0 to 2 in the marker's column, which is where values differ. Core: the rows of tokens 3 and
    4 in their columns. All environments share their sequences: twins differ
    in the marker alone. Validation: a tenth as many sequences as training.

    One-hot images let every network and method take a sequence, whose input gradients are then of the token's
    embedding; a sum over a column is the gradient at a place.

    Our own data set, after the single-token shortcut of Bastings et al. (EMNLP 2022). Drawn from scratch: no licence.
    """

    name = "token-order"

    length: Annotated[int, Field(ge=4, description="tokens of a sequence")] = 16
    correlation: Correlation = 1.0
    train_inputs: Annotated[int, Field(ge=10, description="sequences to train on")] = 4000
    test_inputs: Annotated[int, Field(ge=1, description="sequences per environment")] = 2000

    def render(self, seed: int) -> ShortcutDataset:
        def split(part: str, n: int, environment: Environment, value: int | None = None) -> Split:
            labels, tokens, places = self._sequences(n, generator(seed, part))
            draws = generator(seed, f"{part}/{environment}")
            values = draw_shortcuts(environment, labels, np.arange(2), draws, self.correlation)
            values = values if value is None else np.full_like(values, value)
            shown = np.where(values >= 0, np.array(MARKERS)[values], NEUTRAL)
            np.put_along_axis(tokens, places[:, 2:], shown[:, None], axis=1)
            return Split(
                torch.from_numpy(_as_images(tokens)),
                torch.from_numpy(labels),
                torch.from_numpy(
                    self._entries((*MARKERS, NEUTRAL), places[:, 2:]) & (values >= 0)[:, None, None, None]
                ),
                torch.from_numpy(values),
                core=torch.from_numpy(self._entries((FIRST, SECOND), places[:, :2])),
            )

        @cache
        def with_value(value: int) -> Split:
            return split("test", self.test_inputs, "aligned", value).rows(slice(0, VALUED))

        return ShortcutDataset(
            id=self.id,
            seed=seed,
            class_shortcuts=torch.arange(2),
            train=split("train", self.train_inputs, "aligned"),
            validation=split("validation", self.train_inputs // 10, "aligned"),
            environments={name: split("test", self.test_inputs, name) for name in ENVIRONMENTS},
            clean_train=lambda: split("train", self.train_inputs, "clean"),
            with_value=with_value,
        )

    def _sequences(
        self, n: int, rng: np.random.Generator
    ) -> tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n length"], Int[np.ndarray, "n 3"]]:
        """Labels, tokens without a marker, and the places of tokens 3 and 4, sorted, and of the marker."""
        labels = rng.integers(0, 2, n)
        tokens = rng.integers(OTHERS, VOCABULARY, (n, self.length))
        places = rng.permuted(np.tile(np.arange(self.length), (n, 1)), axis=1)[:, :3]
        places[:, :2].sort(axis=1)
        pair = np.where(labels[:, None] == 1, (FIRST, SECOND), (SECOND, FIRST))
        np.put_along_axis(tokens, places[:, :2], pair, axis=1)
        return labels, tokens, places

    def _entries(
        self, tokens: tuple[int, ...], places: Int[np.ndarray, "n k"]
    ) -> Bool[np.ndarray, "n 1 vocabulary length"]:
        """True in the rows of these tokens and the columns of these places."""
        columns = (np.arange(self.length) == places[..., None]).any(axis=1)
        rows = np.isin(np.arange(VOCABULARY), tokens)
        return columns[:, None, None] & rows[:, None]


def _as_images(tokens: Int[np.ndarray, "n length"]) -> UInt8[np.ndarray, "n 1 vocabulary length"]:
    return (np.arange(VOCABULARY)[:, None] == tokens[:, None, None]).astype(np.uint8) * 255
