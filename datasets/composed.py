"""Planted: any planters on any base, each with its own correlation, told or not."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from pydantic import BeforeValidator, Field, InstanceOf, PlainSerializer, field_validator

from .base import ENVIRONMENTS, VALUED, Environment, ShortcutDataset, Split, draw_shortcuts, generator
from .over_base import OverBase
from .planter import Canvas, Images, Masks, Planter, as_rgb, resolve_all
from .recipe import datasets
from .registry import BadParameters
from .sources import Base, hold_out, load, outlined


def _written(planter: Planter) -> dict[str, Any]:
    """Name and changed parameters, and its version once it has a second: a run key is made from these."""
    version = {"version": planter.version} if planter.version > 1 else {}
    return {"name": planter.name, **version, **planter.shown()}


Planters = Annotated[
    tuple[Annotated[InstanceOf[Planter], PlainSerializer(_written)], ...], BeforeValidator(resolve_all)
]


@datasets.register
class Composed(OverBase):
    """Plants any of patch, overlay, background, tint, wave, stroke, half on a base, each with its own correlation.

    Each planter draws its values and its places from streams of its own, and paints over what came before. The object
    can be made dim (`core_contrast`) and noisy (`core_noise`, uniform, drawn once an input), the same in every
    environment. The shortcut value of an input, which groups are made of, is that of the first planter whose mask is
    told, else of the first; the mask in training is the union of the told masks.

    A single planter has the environments of every recipe. Several planters vary together in these environments, each by
    its own draws, and each has a further environment: in `random_tint` the tint alone is as in `random`, and all other
    planters are as in `aligned`. In test environments the mask is the union of all planters' masks.

    `rrrbench list planters` says what there is, and docs/data.md shows how far ERM is fooled. For licences of the bases
    see `Decoy`.
    """

    name = "planted"

    planters: Annotated[Planters, Field(min_length=1, description="names, or tables of a name and parameters")] = (
        resolve_all("patch")
    )
    core_contrast: Annotated[float, Field(gt=0, le=1, description="of the base's images, rounded to 255ths")] = 1.0
    core_noise: Annotated[float, Field(ge=0, le=1, description="largest noise that is added, rounded to 255ths")] = 0.0

    @field_validator("planters")
    @classmethod
    def _told_apart(cls, planters: tuple[Planter, ...]) -> tuple[Planter, ...]:
        names = [planter.name for planter in planters]
        if len(set(names)) < len(names):
            raise ValueError(f"{' and '.join(names)}: environments are called after planters: take each once")
        return planters

    def shown(self) -> dict[str, Any]:
        """Planters as their ids, in a text that `planters` takes: `tint+patch(size=4)`."""
        shown = super().shown()
        if "planters" in shown:
            ids = [planter.id.replace("[", "(").replace("]", ")") for planter in self.planters]
            shown["planters"] = "+".join(ids)
        return shown

    @property
    def main(self) -> int:
        """The planter whose values are the shortcut values."""
        return next((i for i, planter in enumerate(self.planters) if planter.told), 0)

    def render(self, seed: int) -> ShortcutDataset:
        base = load(self.base)
        train, validation = hold_out(base, self.validation, generator(seed, "split"))
        rendering = _Rendering(self, base, seed)
        training, held_out = ((base.train_inputs[part], base.train_labels[part]) for part in (train, validation))
        test = base.test_inputs, base.test_labels
        environments: dict[str, Split] = {name: rendering.split("test", name, *test) for name in ENVIRONMENTS}
        if len(self.planters) > 1:
            for planter in self.planters:
                alone = f"random_{planter.name}"
                environments[alone] = rendering.split("test", "random", *test, only=planter)

        @cache
        def with_value(value: int) -> Split:
            return rendering.split("test", "aligned", *test, value=value).rows(slice(0, VALUED))

        return ShortcutDataset(
            id=self.id,
            seed=seed,
            class_shortcuts=torch.from_numpy(rendering.own[self.main]),
            train=rendering.split("train", "aligned", *training),
            validation=rendering.split("validation", "aligned", *held_out),
            environments=environments,
            clean_train=lambda: rendering.split("train", "clean", *training),
            with_value=with_value,
        )


class _Rendering:
    """One draw's splits.

    Attributes:
        own: the value that each class carries, of each planter.
    """

    def __init__(self, recipe: Composed, base: Base, seed: int) -> None:
        self.recipe, self.classes, self.seed = recipe, base.classes, seed
        self.own = [np.arange(base.classes) % planter.count(base.classes) for planter in recipe.planters]
        for planter in recipe.planters:
            if planter.needs_object and outlined(recipe.base, base.test_inputs[:1]) is None:
                raise BadParameters(
                    f"{recipe.id}: {planter.name} paints around or on the object, and nobody says where it is in "
                    f"{recipe.base}: take digits, mnist or fashion-mnist"
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
        planters = self.recipe.planters
        clean = self._grounded(part, self._rgb(images))
        painted, objects = (
            self._grounded(part, self._weakened(part, self._rgb(images))),
            outlined(self.recipe.base, clean),
        )
        masks: list[Masks] = []
        values: list[Int[np.ndarray, "n"]] = []
        for planter, own in zip(planters, self.own, strict=True):
            named = environment if only in (None, planter) else "aligned"
            draws = generator(self.seed, f"{part}/{named}/{planter.name}")
            values.append(draw_shortcuts(named, labels, own, draws, planter.correlation))
            if value is not None and planter is planters[self.recipe.main]:
                values[-1] = np.full_like(values[-1], value)
            count = planter.count(self.classes)
            painted, mask = planter.paint(Canvas(painted, objects, values[-1], count, self._places(part, planter)))
            if planter.opaque:
                masks = [below & ~mask for below in masks]
                objects = None if objects is None else objects & ~mask
            masks.append(mask)
        told = [planter.told or part == "test" for planter in planters]
        shown = np.logical_or.reduce([mask & use for mask, use in zip(masks, told, strict=True)])
        return Split(
            *map(torch.from_numpy, (painted, labels.copy(), shown, values[self.recipe.main])),
            core=None if objects is None else torch.from_numpy(objects),
            planted={planter.name: torch.from_numpy(own) for planter, own in zip(planters, values, strict=True)},
        )

    def _places(self, part: str, planter: Planter) -> np.random.Generator:
        return generator(self.seed, f"{part}/places/{planter.name}")

    def _rgb(self, images: Images) -> UInt8[np.ndarray, "n painted height width"]:
        colored = any(planter.colored for planter in self.recipe.planters)
        return as_rgb(images) if colored else images

    def _weakened(self, part: str, images: Images) -> Images:
        """Dimmed, with noise, in integers: the same bits on every machine."""
        contrast, most = (round(255 * share) for share in (self.recipe.core_contrast, self.recipe.core_noise))
        dim = (images.astype(np.uint16) * max(1, contrast) + 127) // 255
        if most:
            n, _, height, width = images.shape
            dim += generator(self.seed, f"{part}/core").integers(0, most + 1, (n, 1, height, width), dtype=np.uint16)
        return dim.clip(0, 255).astype(np.uint8)

    def _grounded(self, part: str, images: Images) -> Images:
        for planter in self.recipe.planters:
            images = planter.ground(images, self._places(part, planter))
        return images
