"""Table: measurements of scikit-learn's beside columns that name where they were made, which gives the class away."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from pydantic import Field

from .base import ENVIRONMENTS, VALUED, Environment, ShortcutDataset, Split, draw_shortcuts, generator
from .planter import Correlation
from .recipe import Recipe, datasets

TRAINED, HELD_OUT = 0.6, 0.1  # shares of the rows; the rest is tested


@datasets.register
class Table(Recipe):
    """Breast cancer (569 x 30, 2 classes) or wine (178 x 13, 3 classes), and a column for each site of measurement.

    A site is a hospital, or a vineyard: class k is measured at site k, which is the shortcut's value. The columns of
    the sites are 1 at the site and 0 elsewhere; in `clean`, where nobody knows the site, each is 1/sites.
    Mask: the columns of the sites. Core: all others. The rows are split 60/10/30 anew for every seed. All environments
    share the test rows: twins differ in their site alone.

    Every measurement is scaled to [0, 1] by its least and its greatest value over the source; `native_range` undoes it.

    Our own data set, after Iris-Cancer (Ross et al., IJCAI 2017) and the hospital tags of Zech et al. (PLOS Medicine
    2018). Both sources CC BY 4.0 (UCI), embedded in scikit-learn.
    """

    name = "table"

    base: Annotated[Literal["breast-cancer", "wine"], Field(description="measurements of scikit-learn's")] = (
        "breast-cancer"
    )
    correlation: Correlation = 1.0

    def render(self, seed: int) -> ShortcutDataset:
        rows, labels, low, high = _load(self.base)
        sites, order = int(labels.max()) + 1, generator(seed, "split").permutation(len(rows))
        train, validation, test = np.split(order, [round(TRAINED * len(rows)), round((TRAINED + HELD_OUT) * len(rows))])
        mask = np.arange(rows.shape[1] + sites) >= rows.shape[1]

        def split(part: str, environment: Environment, index: Int[np.ndarray, "n"], value: int | None = None) -> Split:
            draws = generator(seed, f"{part}/{environment}")
            values = draw_shortcuts(environment, labels[index], np.arange(sites), draws, self.correlation)
            values = values if value is None else np.full_like(values, value)
            known = (values >= 0)[:, None]
            site = np.where(known, np.eye(sites, dtype=np.float32)[values], np.float32(1 / sites))
            return Split(
                torch.from_numpy(np.hstack([rows[index], site])),
                torch.from_numpy(labels[index]),
                torch.from_numpy(known & mask),
                torch.from_numpy(values),
                core=torch.from_numpy(np.tile(~mask, (len(index), 1))),
            )

        def column_ends(measured: Float[np.ndarray, "columns"], site: float) -> Float[torch.Tensor, "all"]:
            return torch.from_numpy(np.r_[measured, np.full(sites, site)].astype(np.float32))

        @cache
        def with_value(value: int) -> Split:
            return split("test", "aligned", test[:VALUED], value)

        return ShortcutDataset(
            id=self.id,
            seed=seed,
            class_shortcuts=torch.arange(sites),
            train=split("train", "aligned", train),
            validation=split("validation", "aligned", validation),
            environments={name: split("test", name, test) for name in ENVIRONMENTS},
            native_range=(column_ends(low, 0), column_ends(high, 1)),
            clean_train=lambda: split("train", "clean", train),
            with_value=with_value,
        )


def _load(
    base: str,
) -> tuple[
    Float[np.ndarray, "n columns"], Int[np.ndarray, "n"], Float[np.ndarray, "columns"], Float[np.ndarray, "columns"]
]:
    """Measurements in [0, 1], float32; classes; and the least and the greatest value of each column."""
    from sklearn.datasets import load_breast_cancer, load_wine  # takes seconds to import

    load = {"breast-cancer": load_breast_cancer, "wine": load_wine}[base]
    measured, labels = map(np.asarray, load(return_X_y=True))
    low, high = measured.min(axis=0), measured.max(axis=0)
    return ((measured - low) / (high - low)).astype(np.float32), labels.astype(np.int64), low, high
