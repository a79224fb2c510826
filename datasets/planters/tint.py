"""A colour over the whole image."""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
from jaxtyping import Int
from pydantic import Field

from ..planter import Images, Masks, Planter, hues, planters
from ..stamping import blended


@planters.register
class Tint(Planter):
    """Blends a hue into every pixel; there is no local mask, and mitigations are told none.

    After the tinted X-rays of Reveal2Revise (Pahde et al., MICCAI 2023). The true mask is everywhere.
    """

    name = "tint"
    opaque: ClassVar[bool] = False

    told: Annotated[bool, Field(description="whether mitigations are given its mask, which is everywhere")] = False
    strength: Annotated[float, Field(gt=0, le=1, description="share of the hue, rounded to 255ths")] = 0.1

    @property
    def colored(self) -> bool:
        return True

    def paint(
        self,
        images: Images,
        objects: Masks | None,
        values: Int[np.ndarray, "n"],
        count: int,
        rng: np.random.Generator,
    ) -> tuple[Images, Masks]:
        present = (values >= 0)[:, None, None, None]
        tinted = blended(images.transpose(0, 2, 3, 1), hues(count)[values][:, None, None], self.strength)
        masks = np.broadcast_to(present, (len(images), 1, *images.shape[2:])).copy()
        return np.where(present, tinted.transpose(0, 3, 1, 2), images), masks
