"""A grey half beside the squeezed image."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from ..planter import Images, Masks, Planter, planters, shades
from ..registry import BadParameters


@planters.register
class Half(Planter):
    """Squeezes the image into its upper or lower half, and fills the other half with the value's grey.

    After Heo et al., NeurIPS 2023, whose own shades the recipe `decoy` has (`variant = "half"`).
    """

    name = "half"

    def ground(self, images: Images, rng: np.random.Generator) -> Images:
        """Squeezed, beside a black half."""
        height = images.shape[2]
        if height % 2:
            raise BadParameters(f"{self.id}: images of height {height} have no halves: an even height is needed")
        pairs = images.astype(np.uint16)
        squeezed = ((pairs[:, :, ::2] + pairs[:, :, 1::2] + 1) // 2).astype(np.uint8)
        below, empty = _below(len(images), rng), np.zeros_like(squeezed)
        return np.concatenate([np.where(below, squeezed, empty), np.where(below, empty, squeezed)], axis=2)

    def paint(
        self,
        images: Images,
        objects: Masks | None,
        values: Int[np.ndarray, "n"],
        count: int,
        rng: np.random.Generator,
    ) -> tuple[Images, Masks]:
        n, _, height, width = images.shape
        filled = (np.arange(height)[:, None] >= height // 2) == _below(n, rng)
        masks = np.repeat(filled & (values >= 0)[:, None, None, None], width, axis=3)
        return np.where(masks, shades(count)[values][:, :, None, None], images), masks


def _below(n: int, rng: np.random.Generator) -> Masks:
    """Whether the lower half is the filled half, by a fair coin."""
    return rng.integers(0, 2, n).astype(bool)[:, None, None, None]
