"""Planted: any planters on any base, each with its own correlation, told or not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field, InstanceOf, PlainSerializer, field_validator

from .base import generator
from .planted import Planted
from .planter import Images, Planter, resolve_all
from .recipe import datasets


def _written(planter: Planter) -> dict[str, Any]:
    """Name and changed parameters, and its version once it has a second: a run key is made from these."""
    version = {"version": planter.version} if planter.version > 1 else {}
    return {"name": planter.name, **version, **planter.model_dump(mode="json", exclude_defaults=True)}


Planters = Annotated[
    tuple[Annotated[InstanceOf[Planter], PlainSerializer(_written)], ...], BeforeValidator(resolve_all)
]


@datasets.register
class Composed(Planted):
    """Plants any of patch, overlay, background, tint, wave, stroke, half, tag on a base, each with its own correlation.

    Each planter draws its values and its places from streams of its own, and paints over what came before. The object
    can be made dim (`core_contrast`) and noisy (`core_noise`, uniform, drawn once an input), the same in every
    environment. The shortcut value of an input, which groups are made of, is that of the first planter whose mask is
    told, else of the first; the mask in training is the union of the told masks. A planter that would hide another
    wholly is refused: a background or a half comes before the others.

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

    def identity(self) -> dict[str, Any]:
        """As of every recipe. Several planters have a second version: the first version's masks left out too much."""
        return {**super().identity(), "version": max(self.version, 2 if len(self.planters) > 1 else 1)}

    def files(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys([*super().files(), *(file for own in self.planters for file in own.files())]))

    def require(self) -> None:
        super().require()
        for planter in self.planters:
            planter.require()

    def painters(self) -> tuple[Planter, ...]:
        return self.planters

    def stream(self, planter: Planter) -> str:
        return f"/{planter.name}"

    def weakened(self, part: str, images: Images, seed: int) -> Images:
        """Dimmed, with noise, in integers: the same bits on every machine."""
        contrast, most = (round(255 * share) for share in (self.core_contrast, self.core_noise))
        dim = (images.astype(np.uint16) * max(1, contrast) + 127) // 255
        if most:
            n, _, height, width = images.shape
            dim += generator(seed, f"{part}/core").integers(0, most + 1, (n, 1, height, width), dtype=np.uint16)
        return dim.clip(0, 255).astype(np.uint8)
