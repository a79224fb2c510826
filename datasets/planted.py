"""The base class of recipes over any base: draws shortcut values and paints them into the base's images."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from pydantic import Field, field_validator

from .base import ENVIRONMENTS, Environment, ShortcutDataset, Split, draw_shortcuts, generator
from .recipe import Recipe
from .sources import files, hold_out, known, load, outlined

Images = UInt8[np.ndarray, "n channels height width"]
Masks = Bool[np.ndarray, "n 1 height width"]


class Planted(Recipe):
    """Paints a shortcut into the images of a base; a subclass says how a shortcut value looks and where it is painted.

    Training and validation share the base's training images. All environments share the base's test images and the
    places drawn for them: the same input in two environments is a pair of twins that differ in the shortcut alone.

    Core masks: the object's pixels in the clean image that no shortcut covers, where the base shows its objects on
    black (`sources.outlined`).
    """

    base: Annotated[str, Field(description="digits, mnist, fashion-mnist, cifar10, or npz:PATH")] = "digits"
    correlation: Annotated[float, Field(ge=0, le=1, description="probability of the class's value; else any value")] = (
        1.0
    )
    validation: Annotated[int | None, Field(ge=1, description="inputs held out of training; None for a tenth")] = None

    @field_validator("base")
    @classmethod
    def _known(cls, base: str) -> str:
        return known(base)

    @property
    def id(self) -> str:
        """The name, with the base in it: `decoy-mnist[variant=cdep]`; of a base's path only the file's stem."""
        kind, _, path = self.base.partition(":")
        over = f"{kind}:{Path(path).stem}" if path else kind
        default = self.model_copy(update={"base": type(self).model_fields["base"].default})
        return super(Planted, default).id.replace(self.name, f"{self.name}-{over}", 1)

    @property
    def native_range(self) -> tuple[float, float]:
        """The values of pixels 0 and 1 in the recipe's own units."""
        return 0.0, 1.0

    def class_shortcuts(self, classes: int) -> Int[np.ndarray, "classes"]:
        """The shortcut value that each class carries."""
        return np.arange(classes)

    @abstractmethod
    def looks(self, classes: int, environment: Environment) -> UInt8[np.ndarray, "values channels"]:
        """The colour of every shortcut value; a single channel stands for all channels."""

    @abstractmethod
    def plant(
        self,
        images: Images,
        colors: UInt8[np.ndarray, "n channels"],
        present: Bool[np.ndarray, "n"],
        rng: np.random.Generator,
    ) -> tuple[UInt8[np.ndarray, "n painted height width"], Masks]:
        """Paints a colour into each image that is `present`; returns new images, and masks of the painted pixels."""

    def files(self) -> tuple[Path, ...]:
        return files(self.base)

    def require(self) -> None:
        load(self.base)

    def render(self, seed: int) -> ShortcutDataset:
        base = load(self.base)
        class_shortcuts = self.class_shortcuts(base.classes)
        train, validation = hold_out(base, self.validation, generator(seed, "split"))

        def planted(part: str, environment: Environment, images: Images, labels: Int[np.ndarray, "n"]) -> Split:
            draws = generator(seed, f"{part}/{environment}")
            values = draw_shortcuts(environment, labels, class_shortcuts, draws, self.correlation)
            colors = self.looks(base.classes, environment)[values]

            def shown(present: Bool[np.ndarray, "n"]) -> tuple[Images, Masks]:
                return self.plant(images, colors, present, generator(seed, f"{part}/places"))

            inputs, masks = shown(values >= 0)
            objects = outlined(self.base, shown(np.zeros(len(labels), dtype=bool))[0])
            core = None if objects is None else torch.from_numpy(objects & ~masks)
            return Split(*map(torch.from_numpy, (inputs, labels.copy(), masks, values)), core=core)

        return ShortcutDataset(
            id=self.id,
            seed=seed,
            class_shortcuts=torch.from_numpy(class_shortcuts),
            train=planted("train", "aligned", base.train_inputs[train], base.train_labels[train]),
            validation=planted("validation", "aligned", base.train_inputs[validation], base.train_labels[validation]),
            environments={name: planted("test", name, base.test_inputs, base.test_labels) for name in ENVIRONMENTS},
            native_range=self.native_range,
            clean_train=lambda: planted("train", "clean", base.train_inputs[train], base.train_labels[train]),
        )


def squares(
    rows: Int[np.ndarray, "n"], columns: Int[np.ndarray, "n"], size: int, inputs: Bool[np.ndarray, "n"]
) -> tuple[Int[np.ndarray, "k 1 1"], slice, Int[np.ndarray, "k size 1"], Int[np.ndarray, "k 1 size"]]:
    """Index of squares: `images[squares(...)]` is (k, size, size, channels), a square of each of the k chosen inputs.

    Args:
        rows: row of each square's upper left pixel.
        columns: column of each square's upper left pixel.
        inputs: True for the inputs to choose.
    """
    chosen, span = np.flatnonzero(inputs), np.arange(size)
    down, across = rows[chosen, None, None] + span[:, None], columns[chosen, None, None] + span
    return chosen[:, None, None], slice(None), down, across
