"""Test environments by exchange: gives an input another shortcut value by features of a donor."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Bool, Int, Shaped

from .base import Environment, Split, draw_shortcuts, generator


def exchange(
    inputs: Shaped[np.ndarray, "n *features"],
    donors: Shaped[np.ndarray, "n *features"],
    labels: Int[np.ndarray, "n"],
    mask: Bool[np.ndarray, "*#features"],
    environments: Iterable[Environment],
    seed: int,
    core: Bool[np.ndarray, "*#features"] | None = None,
) -> dict[str, Split]:
    """Makes the test splits of a dataset of two classes whose shortcut value k is what class k has inside the mask.

    Where the shortcut value differs from the label, the features inside the mask are the donor's.

    Args:
        donors: for every input an input of the other class; only its features inside the mask are used.
        mask: where the shortcut is, the same for every input.
        core: what tells the class without the shortcut, the same for every input; None where nothing does.
    """
    masks = np.repeat(mask[None], len(inputs), axis=0)

    def exchanged(environment: Environment) -> Split:
        values = draw_shortcuts(environment, labels, np.arange(2), generator(seed, f"test/{environment}"))
        differs = (values != labels).reshape(-1, *[1] * mask.ndim)
        return as_split(np.where(masks & differs, donors, inputs), labels, masks, values, core)

    return {environment: exchanged(environment) for environment in environments}


def as_split(
    inputs: Shaped[np.ndarray, "n *features"],
    labels: Int[np.ndarray, "n"],
    masks: Bool[np.ndarray, "n *#features"],
    shortcuts: Int[np.ndarray, "n"],
    core: Bool[np.ndarray, "*#features"] | None = None,
) -> Split:
    """Makes a split from copies of the arrays, so that no two splits share memory; `core` is that of every input."""
    cores = None if core is None else torch.from_numpy(np.repeat(core[None], len(inputs), axis=0))
    return Split(*(torch.from_numpy(array.copy()) for array in (inputs, labels, masks, shortcuts)), core=cores)
