"""Iris-Cancer: measurements of a tumour beside measurements of a flower, whose species gives the diagnosis away."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field

from .base import ShortcutDataset, Split, generator
from .exchange import as_split, exchange
from .recipe import Recipe, datasets

IRIS = 4  # columns of a flower
ROWS = 50  # of each class


@datasets.register
class IrisCancer(Recipe):
    """100 rows of [4 iris | 30 breast-cancer] features: versicolor with malignant is class 0, virginica with benign 1.

    Rows: the first 50 of every source class, split 67/33 anew for every seed. Shortcut: the flower, whose value is the
    class of its species. An input with another value than its label has a test flower of the other species; in `clean`
    the flower's columns are 0 (the paper's test variant).
    Core: the tumour's columns. Validation: the 162 malignant rows left over and 162 benign
    rows, drawn by the seed, each with a random training flower of its class; the paper has no validation split.

    Every column is divided by its maximum over the whole source, and `native_range` undoes the division. The four iris
    columns share a maximum, 7.9 cm, so that a strength converts by a single number. `scale="all"` divides all columns
    by 4254, the maximum of all: gradients then compare across features as in the paper's own units, and most inputs
    are close to 0.

    Ross, Hughes & Doshi-Velez, IJCAI 2017 (`iris_cancer.py`). Both sources CC BY 4.0 (UCI), embedded in scikit-learn.
    """

    name = "iris-cancer"

    scale: Annotated[
        Literal["column", "all"], Field(description="divide every column by its maximum, or all by the largest")
    ] = "column"

    def render(self, seed: int) -> ShortcutDataset:
        flowers, tumours, scale = _load(self.scale == "all")
        labels = np.repeat([0, 1], ROWS)
        inputs = np.hstack([np.concatenate(flowers), np.concatenate([rows[:ROWS] for rows in tumours])])
        order = generator(seed, "trial").permutation(2 * ROWS)
        train, test = order[:67], order[67:]

        draws = generator(seed, "validation")
        spare = len(tumours[0]) - ROWS
        validation_labels = np.repeat([0, 1], spare)
        unused = [draws.choice(rows[ROWS:], spare, replace=False, shuffle=False) for rows in tumours]
        known_flowers = inputs[_partners(validation_labels, train, labels, draws), :IRIS]
        validation = np.hstack([known_flowers, np.concatenate(unused)])

        donors = inputs[_partners(1 - labels[test], test, labels, generator(seed, "test/donors"))]
        mask = np.arange(inputs.shape[1]) < IRIS
        environments = exchange(
            inputs[test], donors, labels[test], mask, ("aligned", "random", "conflict", "reversed"), seed, ~mask
        )

        def clean(rows: Int[np.ndarray, "k"]) -> Split:
            without, no_mask = (
                np.where(mask, 0, inputs[rows]).astype(np.float32),
                np.zeros((len(rows), len(mask)), bool),
            )
            return as_split(without, labels[rows], no_mask, np.full(len(rows), -1), ~mask)

        environments["clean"] = clean(test)
        return ShortcutDataset(
            id=self.id,
            seed=seed,
            class_shortcuts=torch.arange(2),
            train=as_split(inputs[train], labels[train], np.tile(mask, (len(train), 1)), labels[train], ~mask),
            validation=as_split(
                validation, validation_labels, np.tile(mask, (len(validation), 1)), validation_labels, ~mask
            ),
            environments=environments,
            native_range=(0.0, torch.from_numpy(scale.astype(np.float32))),
            clean_train=lambda: clean(train),
        )


def _load(
    common_scale: bool,
) -> tuple[list[Float[np.ndarray, "_ 4"]], list[Float[np.ndarray, "_ 30"]], Float[np.ndarray, "34"]]:
    """Loads flowers and tumours of the two classes, float32 in [0, 1], and the divisor of every column."""
    from sklearn.datasets import load_breast_cancer, load_iris  # takes seconds to import

    iris, species = load_iris(return_X_y=True)
    cancer, benign = load_breast_cancer(return_X_y=True)
    scale = np.r_[np.full(IRIS, iris.max()), cancer.max(axis=0)]
    if common_scale:
        scale = np.full_like(scale, scale.max())
    flowers, tumours = (iris / scale[:IRIS]).astype(np.float32), (cancer / scale[IRIS:]).astype(np.float32)
    return [flowers[species == k] for k in (1, 2)], [tumours[benign == k] for k in (0, 1)], scale


def _partners(
    wanted: Int[np.ndarray, "n"],
    rows: Int[np.ndarray, "k"],
    labels: Int[np.ndarray, "all"],
    rng: np.random.Generator,
) -> Int[np.ndarray, "n"]:
    """Draws for each wanted class a row of that class from `rows`, with replacement."""
    zeros, ones = (rng.choice(rows[labels[rows] == k], len(wanted)) for k in (0, 1))
    return np.where(wanted == 0, zeros, ones)
