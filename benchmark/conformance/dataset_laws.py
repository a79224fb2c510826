"""The laws of a dataset: its seed decides it, and its twins differ inside the mask alone, by their shortcuts."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import combinations

import numpy as np
import torch

from ...datasets.base import ShortcutDataset, as_float
from ...datasets.recipe import Recipe
from .violation import require


def the_seed_decides_it(recipe: Recipe) -> None:
    """1: one seed gives the same digest again, another seed another; the global random states stay."""

    def state() -> tuple[object, ...]:
        return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()  # noqa: NPY002  # pyrefly: ignore

    first = recipe.make(0).digest()  # what the first draw imports may draw
    before = state()
    again, other = (recipe.make(seed).digest() for seed in (0, 1))
    require(state() == before, "a global random state moved: draw from `datasets.base.generator(seed, stream)`")
    require(first == again, "seed 0 gives other data at the second time: draw from `datasets.base.generator` alone")
    require(first != other, "seeds 0 and 1 give the same data: hand the seed to `datasets.base.generator`")


def twins_differ_inside_the_mask_alone(recipe: Recipe) -> None:
    """2: the test environments have the same labels, and the same inputs outside the mask."""
    dataset = recipe.make(0)
    aligned = dataset.test("aligned")
    for environment, twin in dataset.environments.items():
        require(torch.equal(twin.labels, aligned.labels), f"{environment} has other labels than aligned")
        outside = (twin.inputs[:] != aligned.inputs[:]) & ~aligned.masks[:]
        require(
            not bool(outside.any()),
            f"{environment} differs from aligned in {int(outside.sum())} values outside the mask: render the shortcut "
            "inside the mask alone, and the rest from the seed alone",
        )


def twins_of_other_shortcuts_differ(recipe: Recipe) -> None:
    """2: an input whose shortcut value differs between two environments has other pixels in its mask there.

    An input without a shortcut, as in `clean`, may look like one with a value: a black patch on a black ground.
    """
    dataset = recipe.make(0)
    masks = dataset.test("aligned").masks[:]
    for (name, one), (other, twin) in combinations(dataset.environments.items(), 2):
        moved = (one.shortcuts != twin.shortcuts) & (one.shortcuts >= 0) & (twin.shortcuts >= 0)
        painted = ((one.inputs[:] != twin.inputs[:]) & masks).flatten(1).any(1)
        same = moved & ~painted
        require(
            not bool(same.any()),
            f"{int(same.sum())} of {int(moved.sum())} inputs with another shortcut value in {name} than in {other} "
            "have the same pixels inside the mask: render the value that `draw_shortcuts` draws, not the label",
        )


def the_mask_is_where_twins_differ(recipe: Recipe) -> None:
    """2: no position is masked that never differs between environments."""
    dataset = recipe.make(0)
    aligned = dataset.test("aligned")
    changed = torch.stack([twin.inputs[:] != aligned.inputs[:] for twin in dataset.environments.values()]).any(0).any(0)
    masked = aligned.masks[:].any(0).expand_as(changed)
    idle = int((masked & ~changed).sum())
    require(not idle, f"{idle} masked positions are the same in every environment: make the mask the shortcut's")


def environments_are_what_their_names_say(recipe: Recipe) -> None:
    """3: in `conflict` no shortcut is the class's own, in `reversed` each is the opposite's, `clean` has none."""
    dataset = recipe.make(0)
    own, said = dataset.class_shortcuts, {name: split.shortcuts for name, split in dataset.environments.items()}
    labels = {name: split.labels for name, split in dataset.environments.items()}
    if "conflict" in said:
        require(
            bool((said["conflict"] != own[labels["conflict"]]).all()), "conflict has inputs with their own shortcut"
        )
    if "reversed" in said:
        opposite = own[dataset.classes - 1 - labels["reversed"]]
        require(torch.equal(said["reversed"], opposite), "reversed has other shortcuts than the opposite class's")
    if "clean" in said:
        shown = dataset.test("clean").shown
        require(bool((said["clean"] == -1).all()) and not bool(shown.any()), "clean has shortcuts or masks")


def inputs_labels_and_masks_are_whole(recipe: Recipe) -> None:
    """4: inputs are finite and in [0, 1], labels are 0..classes - 1, and no training input is a validation input."""
    dataset = recipe.make(0)
    for name, split in {"train": dataset.train, "validation": dataset.validation, **dataset.environments}.items():
        inputs = as_float(split.inputs[:])
        low, high = float(inputs.min()), float(inputs.max())
        require(bool(torch.isfinite(inputs).all()), f"{name} has inputs that are not finite")
        require(0 <= low <= high <= 1, f"{name} has inputs in [{low:g}, {high:g}]: scale them to [0, 1]")
        require(split.masks.dtype == torch.bool, f"{name} has masks of {split.masks.dtype}: make them bool")
    labels = dataset.train.labels.unique().tolist()
    require(labels == list(range(dataset.classes)), f"train has labels {labels}, expected 0..{dataset.classes - 1}")
    shared = _rows(dataset, "train") & _rows(dataset, "validation")
    require(not shared, f"{len(shared)} inputs are both in train and in validation: split them")


def _rows(dataset: ShortcutDataset, split: str) -> set[bytes]:
    return {row.tobytes() for row in getattr(dataset, split).inputs[:].numpy()}


def laws() -> dict[str, Callable[[Recipe], None]]:
    """The laws of a dataset, by title."""
    return {
        "1 the seed decides it": the_seed_decides_it,
        "2 twins differ inside the mask alone": twins_differ_inside_the_mask_alone,
        "2 twins of other shortcuts differ": twins_of_other_shortcuts_differ,
        "2 the mask is where twins differ": the_mask_is_where_twins_differ,
        "3 environments are what their names say": environments_are_what_their_names_say,
        "4 inputs, labels and masks are whole": inputs_labels_and_masks_are_whole,
    }
