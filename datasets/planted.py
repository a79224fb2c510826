"""The base class of recipes over any base: draws shortcut values and paints them into the base's images."""

from __future__ import annotations

from abc import abstractmethod
from functools import cache
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from pydantic import Field

from .base import ENVIRONMENTS, VALUED, Environment, ShortcutDataset, Split, draw_shortcuts, generator
from .over_base import OverBase
from .planter import Images, Masks
from .sources import hold_out, load, outlined


class Planted(OverBase):
    """Paints a shortcut into the images of a base; a subclass says how a shortcut value looks and where it is painted.

    Training and validation share the base's training images. All environments share the base's test images and the
    places drawn for them: the same input in two environments is a pair of twins that differ in the shortcut alone.

    Core masks: the object's pixels in the clean image that no shortcut covers, where the base shows its objects on
    black (`sources.outlined`).
    """

    correlation: Annotated[float, Field(ge=0, le=1, description="probability of the class's value; else any value")] = (
        1.0
    )

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

    def render(self, seed: int) -> ShortcutDataset:
        base = load(self.base)
        class_shortcuts = self.class_shortcuts(base.classes)
        train, validation = hold_out(base, self.validation, generator(seed, "split"))

        def planted(
            part: str, environment: Environment, images: Images, labels: Int[np.ndarray, "n"], value: int | None = None
        ) -> Split:
            draws = generator(seed, f"{part}/{environment}")
            values = draw_shortcuts(environment, labels, class_shortcuts, draws, self.correlation)
            values = values if value is None else np.full_like(values, value)
            colors = self.looks(base.classes, environment)[values]

            def shown(present: Bool[np.ndarray, "n"]) -> tuple[Images, Masks]:
                return self.plant(images, colors, present, generator(seed, f"{part}/places"))

            inputs, masks = shown(values >= 0)
            objects = outlined(self.base, shown(np.zeros(len(labels), dtype=bool))[0])
            core = None if objects is None else torch.from_numpy(objects & ~masks)
            return Split(*map(torch.from_numpy, (inputs, labels.copy(), masks, values)), core=core)

        @cache
        def with_value(value: int) -> Split:
            return planted("test", "random", base.test_inputs, base.test_labels, value).rows(slice(0, VALUED))

        return ShortcutDataset(
            id=self.id,
            seed=seed,
            class_shortcuts=torch.from_numpy(class_shortcuts),
            train=planted("train", "aligned", base.train_inputs[train], base.train_labels[train]),
            validation=planted("validation", "aligned", base.train_inputs[validation], base.train_labels[validation]),
            environments={name: planted("test", name, base.test_inputs, base.test_labels) for name in ENVIRONMENTS},
            native_range=self.native_range,
            clean_train=lambda: planted("train", "clean", base.train_inputs[train], base.train_labels[train]),
            with_value=with_value,
        )
