"""The base class of recipes over any base: planters paint shortcut values into the base's images."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from jaxtyping import Int, UInt8

from .base import ENVIRONMENTS, VALUED, Environment, ShortcutDataset, Split, draw_shortcuts, generator
from .over_base import OverBase
from .planter import Canvas, Images, Masks, Planter, as_rgb
from .registry import BadParameters
from .sources import OUTLINED, Base, hold_out, load, outlined

MOST_HIDDEN = 0.05
"""Of the images that show a planter's value, the share in which a later planter may hide it wholly."""
MOST_UNSEEN, LOOKED_AT = 0.02, 1000
"""Of the first images, the share in which another value may look the same; and how many are looked at."""


class Planted(OverBase):
    """Lets planters paint shortcut values into the images of a base; a subclass says which planters.

    Training and validation share the base's training images. All environments share the base's test images and the
    places drawn for them: the same input in two environments is a pair of twins that differ in the shortcut alone.

    Shortcut masks: the pixels that any value of a planter paints, without the pixels that a later planter hides
    whatever the later planter's value is. So no mask tells a value, and a mask may have pixels that this image hides.

    Core masks: the object's pixels in the clean image that lie in no opaque planter's own mask, where the base shows
    its objects on black (`sources.outlined`).
    """

    @abstractmethod
    def painters(self) -> tuple[Planter, ...]:
        """The planters, in the order of painting; the first that is told, else the first, has the shortcut values."""

    @property
    def native_range(self) -> tuple[float, float]:
        """The values of pixels 0 and 1 in the recipe's own units."""
        return 0.0, 1.0

    def stream(self, planter: Planter) -> str:
        """The end of the names of a planter's generators; empty where a recipe has a single planter."""
        return ""

    def weakened(self, part: str, images: Images, seed: int) -> Images:
        """The base's images as they are painted on."""
        return images

    def render(self, seed: int) -> ShortcutDataset:
        try:
            return self._rendered(seed)
        except BadParameters as error:
            raise BadParameters(f"{self.id}: {error}") from error

    def _rendered(self, seed: int) -> ShortcutDataset:
        base, planters = load(self.base), self.painters()
        train, validation = hold_out(base, self.validation, generator(seed, "split"))
        rendering = _Rendering(self, planters, base, seed)
        training, held_out = ((base.train_inputs[part], base.train_labels[part]) for part in (train, validation))
        test = base.test_inputs, base.test_labels
        environments: dict[str, Split] = {name: rendering.split("test", name, *test) for name in ENVIRONMENTS}
        if len(planters) > 1:
            for planter in planters:
                alone = f"random_{planter.name}"
                environments[alone] = rendering.split("test", "random", *test, only=planter)

        @cache
        def with_value(value: int) -> Split:
            return rendering.split("test", "aligned", *test, value=value).rows(slice(0, VALUED))

        return ShortcutDataset(
            id=self.id,
            seed=seed,
            class_shortcuts=torch.from_numpy(rendering.own[rendering.main]),
            train=rendering.split("train", "aligned", *training),
            validation=rendering.split("validation", "aligned", *held_out),
            environments=environments,
            native_range=self.native_range,
            clean_train=lambda: rendering.split("train", "clean", *training),
            with_value=with_value,
        )


class _Rendering:
    """One draw's splits.

    Attributes:
        own: the value that each class carries, of each planter.
        main: index of the planter whose values are the shortcut values.
        hidden: by part and planter, the pixels that the planter hides whatever its value is.
    """

    def __init__(self, recipe: Planted, planters: Sequence[Planter], base: Base, seed: int) -> None:
        self.recipe, self.planters, self.classes, self.seed = recipe, planters, base.classes, seed
        self.own = [np.arange(base.classes) % planter.count(base.classes) for planter in planters]
        self.main = next((i for i, planter in enumerate(planters) if planter.told), 0)
        self.hidden: dict[tuple[str, Planter], Masks] = {}
        for planter in planters:
            if planter.needs_object and outlined(recipe.base, base.test_inputs[:1]) is None:
                raise BadParameters(
                    f"{planter.name} paints around or on the object, and nobody says where it is in "
                    f"{recipe.base}: take {', '.join(sorted(OUTLINED))}"
                )

    def split(
        self,
        part: str,
        environment: Environment,
        images: Images,
        labels: Int[np.ndarray, "n"],
        only: Planter | None = None,
        value: int | None = None,
    ) -> Split:
        """The images with every planter as in the environment; with `only`, the others as in `aligned`.

        With `value`, every image shows it as the shortcut value by which groups are made.
        """
        planters = self.planters
        clean = self._grounded(part, self._rgb(images))
        painted, objects = (
            self._grounded(part, self.recipe.weakened(part, self._rgb(images), self.seed)),
            outlined(self.recipe.base, clean),
        )
        masks: list[Masks] = []
        values: list[Int[np.ndarray, "n"]] = []
        for planter, own in zip(planters, self.own, strict=True):
            named = environment if only in (None, planter) else "aligned"
            draws = generator(self.seed, f"{part}/{named}{self.recipe.stream(planter)}")
            values.append(draw_shortcuts(named, labels, own, draws, planter.correlation))
            if value is not None and planter is planters[self.main]:
                values[-1] = np.full_like(values[-1], value)
            count = planter.count(self.classes)
            canvas = Canvas(painted, objects, values[-1], count, self._places(part, planter), named)
            if masks:
                hidden = self._hidden(part, planter, canvas)
                self._refuse_hiding(planter, masks, hidden)
                masks = [below & ~hidden for below in masks]
            if named == "aligned":  # which every part has
                self._refuse_unseen(part, planter, canvas)
            painted, mask = planter.paint(canvas)
            if planter.opaque and objects is not None:
                objects = objects & ~mask
            masks.append(mask)
        told = [planter.told or part == "test" for planter in planters]
        shown = np.logical_or.reduce([mask & use for mask, use in zip(masks, told, strict=True)])
        return Split(
            *map(torch.from_numpy, (painted, labels.copy(), shown, values[self.main])),
            core=None if objects is None else torch.from_numpy(objects),
            planted={planter.name: torch.from_numpy(own) for planter, own in zip(planters, values, strict=True)},
        )

    def _hidden(self, part: str, planter: Planter, canvas: Canvas) -> Masks:
        """The pixels whose colour says nothing about the image that was painted on, whatever the planter's value is.

        They are the same on black and on white, and the same in every environment that shows the planter.
        """
        if not canvas.shown.any():
            return np.zeros((len(canvas.images), 1, *canvas.images.shape[2:]), dtype=bool)
        if (part, planter) not in self.hidden:
            hidden = np.ones((len(canvas.images), 1, *canvas.images.shape[2:]), dtype=bool)
            for value in range(canvas.count):
                of_value = canvas._replace(values=np.full_like(canvas.values, value))
                on_black, on_white = (
                    planter.paint(
                        of_value._replace(images=np.full_like(canvas.images, grey), rng=self._places(part, planter))
                    )[0]
                    for grey in (0, 255)
                )
                hidden &= (on_black == on_white).all(1, keepdims=True)
            self.hidden[part, planter] = hidden
        return self.hidden[part, planter] & canvas.shown

    def _refuse_hiding(self, planter: Planter, masks: list[Masks], hidden: Masks) -> None:
        """Raises BadParameters if nothing is left of an earlier planter in many images that had it."""
        for below, earlier in zip(masks, self.planters, strict=False):
            had = below.any((1, 2, 3))
            gone = had & ~(below & ~hidden).any((1, 2, 3))
            if gone.sum() > MOST_HIDDEN * had.sum():
                raise BadParameters(
                    f"{planter.name} hides all of {earlier.name} in {gone.sum() / had.sum():.0%} of the images, where "
                    f"no network can rely on it: name {planter.name} before {earlier.name}, or take other places"
                )

    def _refuse_unseen(self, part: str, planter: Planter, canvas: Canvas) -> None:
        """Raises BadParameters if another value would look the same in many images: white words on white paper."""
        objects = None if canvas.objects is None else canvas.objects[:LOOKED_AT]
        few = canvas._replace(images=canvas.images[:LOOKED_AT], objects=objects, values=canvas.values[:LOOKED_AT])
        others = np.where(few.values >= 0, (few.values + 1) % canvas.count, -1)
        one, other = (
            planter.paint(few._replace(values=values, rng=self._places(part, planter)))[0]
            for values in (few.values, others)
        )
        shown = few.shown[:, 0, 0, 0]
        unseen = shown & (one == other).all((1, 2, 3))
        if unseen.sum() > max(2, MOST_UNSEEN * shown.sum()):
            before = " and ".join(["the base", *(own.name for own in self.planters[: self.planters.index(planter)])])
            raise BadParameters(
                f"{planter.name} cannot be seen on {before} in {unseen.sum() / shown.sum():.0%} of the images, whose "
                "pixels are the same with another value: take other planters, or another base"
            )

    def _places(self, part: str, planter: Planter) -> np.random.Generator:
        return generator(self.seed, f"{part}/places{self.recipe.stream(planter)}")

    def _rgb(self, images: Images) -> UInt8[np.ndarray, "n painted height width"]:
        colored = any(planter.colored for planter in self.planters)
        return as_rgb(images) if colored else images

    def _grounded(self, part: str, images: Images) -> Images:
        for planter in self.planters:
            images = planter.ground(images, self._places(part, planter))
        return images
