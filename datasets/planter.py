"""The contract of a planter: what paints a shortcut value into an image, and says where."""

from __future__ import annotations

import colorsys
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8
from pydantic import Field

from .base import Environment
from .registry import BadParameters, Named, Registry

Images = UInt8[np.ndarray, "n channels height width"]
Masks = Bool[np.ndarray, "n 1 height width"]


Correlation = Annotated[float, Field(ge=0, le=1, description="probability of the class's value; else any value")]


class Canvas(NamedTuple):
    """Images to paint into.

    Attributes:
        objects: where the object is to be seen; None if nobody knows.
        values: of each image; -1 for none.
        count: number of values.
        rng: of all draws but the values', the same in every environment.
        environment: that is painted, for a paper that shows a value otherwise in its test images.
    """

    images: Images
    objects: Masks | None
    values: Int[np.ndarray, "n"]
    count: int
    rng: np.random.Generator
    environment: Environment = "aligned"

    @property
    def shown(self) -> Bool[np.ndarray, "n 1 1 1"]:
        """Which images have a value."""
        return (self.values >= 0)[:, None, None, None]


class Planter(Named):
    """Paints shortcut values into images. One file, one class, `@planters.register`.

    All that is random and not the value (places, angles, phases) is drawn from `rng`, the same in every environment,
    and in the same order whatever the values are: so two renderings of an input differ by its value alone.

    Attributes:
        opaque: its mask is no part of the core, because its paint lies over the object.
        needs_object: it needs to know where the object is, so that the base must be outlined (`sources.outlined`).
    """

    opaque: ClassVar[bool] = True
    needs_object: ClassVar[bool] = False

    correlation: Correlation = 1.0
    values: Annotated[int | None, Field(ge=2, description="number of values; None for as many as classes")] = None
    told: Annotated[bool, Field(description="whether mitigations are given its mask")] = True

    @property
    def colored(self) -> bool:
        """Whether it needs three channels."""
        return False

    def count(self, classes: int) -> int:
        """The number of values; class k carries value k modulo this number."""
        if self.values is not None and self.values > classes:
            raise BadParameters(f"{self.id}: {self.values} values for {classes} classes: ask for {classes} or fewer")
        return self.values or classes

    def files(self) -> tuple[Path, ...]:
        """The files that it reads, as far as they are there."""
        return ()

    def require(self) -> None:
        """Raises MissingData if its files are not there and cannot be had."""

    def ground(self, images: Images, rng: np.random.Generator) -> Images:
        """The images that it paints into; a planter that moves the object does so here."""
        return images

    @abstractmethod
    def paint(self, canvas: Canvas) -> tuple[Images, Masks]:
        """New images that show the values; of value -1 as they are.

        Returns:
            The images, and masks of the pixels that some value paints; empty for value -1.
        """


planters: Registry[Planter] = Registry("planter", "rrrbench.datasets.planters")


def resolve_all(given: Any) -> Any:
    """Planters from names, from tables of a name and parameters, or from a text as an id has it: `tint+patch(size=4)`.

    Raises:
        UnknownName: no planter has this name.
        BadParameters: a planter does not take these parameters.
    """
    if isinstance(given, str):
        given = [_parsed(text) for text in given.split("+")]
    return tuple(map(planters.resolve, given)) if isinstance(given, list | tuple) else given


def _parsed(text: str) -> dict[str, Any]:
    name, _, inner = text.removesuffix(")").partition("(")
    pairs = (pair.partition("=") for pair in inner.split(",") if pair)
    return {"name": name, **{key: _value(written) for key, _, written in pairs}}


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"True": True, "False": False, "None": None}.get(text, text)


def as_rgb(images: Images) -> UInt8[np.ndarray, "n 3 height width"]:
    """Grey images with three equal channels; colour images as they are."""
    return np.repeat(images, 3 // images.shape[1], axis=1)


def hues(count: int) -> UInt8[np.ndarray, "count 3"]:
    """Colours of full saturation and brightness, evenly spaced in hue."""
    colors = [colorsys.hsv_to_rgb(k / count, 1, 1) for k in range(count)]
    return np.rint(np.array(colors) * 255).astype(np.uint8)


def shades(count: int) -> UInt8[np.ndarray, "count 1"]:
    """Greys from white, evenly spaced; the darkest is as far from black as from its neighbour."""
    return (255 - 255 * np.arange(count) // count).astype(np.uint8)[:, None]


def at_most(planter: Planter, count: int, most: int) -> None:
    """Raises BadParameters if a planter is asked for more values than it can show."""
    if count > most:
        raise BadParameters(
            f"{planter.id}: {count} classes, but it shows {most} values: give values = {most}, or take patch"
        )
