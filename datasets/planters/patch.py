"""A coloured square."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from jaxtyping import Int
from pydantic import Field

from ..planter import Images, Masks, Planter, hues, planters
from ..stamping import Place, places, stamped


@planters.register
class Patch(Planter):
    """Paints a square whose hue is the value; the mask is the square.

    After the patches of Ross et al. (IJCAI 2017), Ghitu et al. (TMLR 2025) and of ISIC. The recipes `decoy` and
    `colored-patch` have the papers' own squares.
    """

    name = "patch"

    size: Annotated[int, Field(ge=1, description="side of the square, pixels")] = 6
    place: Annotated[Place, Field(description="upper left corner, any corner, or anywhere")] = "corners"
    opacity: Annotated[float, Field(gt=0, le=1, description="of the square, rounded to 255ths")] = 1.0

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
        square = np.ones((count, self.size, self.size), dtype=bool)
        rows, columns = places(self.place, images, (self.size, self.size), rng, self.id)
        return stamped(images, square, hues(count), values, rows, columns, self.opacity)
