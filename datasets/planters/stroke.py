"""The object in a colour of its own."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ..planter import Canvas, Images, Masks, Planter, hues, planters


@planters.register
class Stroke(Planter):
    """Colours the object's own pixels, so that the shortcut's mask is the core: a limit case for methods with masks.

    After coloured MNIST (Arjovsky et al. 2019; Nam et al., NeurIPS 2020). A mitigation that ignores all in the mask
    must ignore the object.
    """

    name = "stroke"
    opaque: ClassVar[bool] = False
    needs_object: ClassVar[bool] = True

    @property
    def colored(self) -> bool:
        return True

    def paint(self, canvas: Canvas) -> tuple[Images, Masks]:
        assert canvas.objects is not None
        masks = canvas.objects & canvas.shown
        colors = hues(canvas.count)[canvas.values][:, :, None, None].astype(np.uint16)
        return np.where(masks, (canvas.images * colors + 127) // 255, canvas.images).astype(np.uint8), masks
