"""Colored-Patch, over any base: a square whose hue is the shortcut value."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .planted import Planted
from .planter import Correlation, Planter
from .planters.patch import Patch
from .recipe import datasets


@datasets.register
class ColoredPatch(Planted):
    """Blends a square of the class's colour into the image; the mask is the square. Grey bases become RGB.

    Size, place, opacity, number of colours and correlation are parameters. Hues are evenly spaced at full saturation
    and value. `position="random"` draws a place for every input, uniformly. With fewer colours than classes, class k
    has colour k modulo the number of colours, and classes share colours.

    Our own dataset, after the patches of Ghitu et al. (TMLR 2025) and of ISIC. For licences of the bases see `Decoy`.
    """

    name = "colored-patch"

    size: Annotated[int, Field(ge=1, description="side of the square, pixels")] = 6
    correlation: Correlation = 1.0
    position: Annotated[
        Literal["fixed", "random"], Field(description="upper left corner, or drawn for every input")
    ] = "fixed"
    colors: Annotated[int | None, Field(ge=2, description="number of colours; None for as many as classes")] = None
    opacity: Annotated[float, Field(gt=0, le=1, description="of the square, rounded to 255ths, at least 1/255")] = 1.0

    def painters(self) -> tuple[Planter, ...]:
        place = "anywhere" if self.position == "random" else "fixed"
        shown = {"values": self.colors, "correlation": self.correlation}
        return (Patch(size=self.size, place=place, opacity=self.opacity, **shown),)
