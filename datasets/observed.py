"""Images whose shortcuts were observed and not planted: an npz with its own masks and shortcut values."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field

from .base import Environment, ShortcutDataset, Split, draw_shortcuts, generator
from .exchange import as_split
from .recipe import Recipe, datasets
from .registry import BadParameters
from .sources import Observation, hold_out, load_observed, npz_files

ENVIRONMENTS: tuple[Environment, ...] = ("aligned", "random", "conflict", "reversed")


@datasets.register
class Observed(Recipe):
    """Reads images, labels, masks and shortcut values from an npz; nothing is painted.

    Arrays: `x_train`, `y_train`, `x_test`, `y_test` as for every npz; for each part `masks_*`, (n, height, width), 1
    where the shortcut is; and `shortcuts_*`, the shortcut values 0, 1, ... An image without a shortcut has an empty
    mask and the value -1. A class's own value is its commonest in training. Training and validation are the training
    images as they are.

    A test split as it was collected says nothing about reliance: its shortcuts may speak for the labels as they do in
    training. So environments are made by exchange, as in `iris-cancer`: an input that is to show another value takes
    the pixels inside its mask from a random test image with that value and the same mask. Test images therefore all
    need a shortcut, and for each mask there must be an image of each value. The twins are as good as the masks: what a
    mask leaves out of the shortcut stays, and what it covers of the object is exchanged too. There is no `clean`
    environment, because nobody knows what is behind a shortcut.
    """

    name = "observed"

    file: Annotated[str, Field(min_length=1, description="path of the npz, from here or in the data root")]
    validation: Annotated[int | None, Field(ge=1, description="inputs held out of training; None for a tenth")] = None

    @property
    def id(self) -> str:
        """The name with the file's stem: `observed-photos[validation=50]`."""
        changed = self.model_dump(mode="json", exclude_defaults=True, exclude={"file"})
        inner = ",".join(f"{key}={changed[key]}" for key in sorted(changed))
        return f"{self.name}-{Path(self.file).stem}" + (f"[{inner}]" if inner else "")

    def files(self) -> tuple[Path, ...]:
        return npz_files(self.file)

    def require(self) -> None:
        load_observed(self.file)

    def render(self, seed: int) -> ShortcutDataset:
        found = load_observed(self.file)
        train, validation = hold_out(found.base, self.validation, generator(seed, "split"))

        def held(index: Int[np.ndarray, "k"]) -> Split:
            part = found.base.train_inputs[index], found.base.train_labels[index]
            return as_split(*part, found.train.masks[index], found.train.values[index])

        return ShortcutDataset(
            id=self.id,
            seed=seed,
            class_shortcuts=torch.from_numpy(found.class_shortcuts.copy()),
            train=held(train),
            validation=held(validation),
            environments={name: self._exchanged(found, name, seed) for name in ENVIRONMENTS},
        )

    def _exchanged(self, found: Observation, environment: Environment, seed: int) -> Split:
        """Gives the test inputs the shortcut values of an environment; an input whose value stays is as in the file.

        Raises:
            BadParameters: no image has a value and mask that an input needs.
        """
        inputs, labels, (masks, values) = found.base.test_inputs, found.base.test_labels, found.test
        draws = generator(seed, f"test/{environment}")
        wanted = draw_shortcuts(environment, labels, found.class_shortcuts, draws)
        alike: dict[tuple[bytes, int], list[int]] = defaultdict(list)
        for i, (mask, value) in enumerate(zip(masks, values, strict=True)):
            alike[mask.tobytes(), int(value)].append(i)
        chance, shown = generator(seed, "test/donors").random(len(inputs)), inputs.copy()
        for i in np.flatnonzero(wanted != values):
            donors = alike.get((masks[i].tobytes(), int(wanted[i])))
            if not donors:
                raise BadParameters(
                    f"{self.file}: no image of x_test has the shortcut value {wanted[i]} and the mask of image {i}, so "
                    f"image {i} cannot show this value: give shortcuts in one place the same mask, and all of the "
                    f"{1 + found.class_shortcuts.max()} values in each place; or plant a shortcut, e.g. colored-patch"
                )
            donor = donors[int(chance[i] * len(donors))]
            np.copyto(shown[i], inputs[donor], where=masks[i])
        return as_split(shown, labels, masks, wanted)
