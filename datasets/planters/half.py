"""A grey half beside the squeezed image."""

from __future__ import annotations

import numpy as np

from ..planter import Canvas, Images, Masks, Planter, planters, shades
from ..stamping import squeezed


@planters.register
class Half(Planter):
    """Squeezes the image into its upper or lower half, and fills the other half with the value's grey.

    After Heo et al., NeurIPS 2023, whose own shades the recipe `decoy` has (`variant = "half"`).
    """

    name = "half"

    def ground(self, images: Images, rng: np.random.Generator) -> Images:
        """Squeezed, beside a black half."""
        return squeezed(images, rng, self.id)[0]

    def paint(self, canvas: Canvas) -> tuple[Images, Masks]:
        masks = squeezed(canvas.images, canvas.rng, self.id)[1] & canvas.shown
        return np.where(masks, shades(canvas.count)[canvas.values][:, :, None, None], canvas.images), masks
