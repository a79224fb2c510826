"""A coloured square."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from ..planter import Canvas, Images, Masks, Planter, hues, planters
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

    def paint(self, canvas: Canvas) -> tuple[Images, Masks]:
        square = np.ones((canvas.count, self.size, self.size), dtype=bool)
        rows, columns = places(self.place, canvas.images, (self.size, self.size), canvas.rng, self.id)
        return stamped(canvas.images, square, hues(canvas.count), canvas.values, rows, columns, self.opacity)
