"""The object in a colour of its own."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Int

from ..planter import Images, Masks, Planter, hues, planters


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

    def paint(
        self,
        images: Images,
        objects: Masks | None,
        values: Int[np.ndarray, "n"],
        count: int,
        rng: np.random.Generator,
    ) -> tuple[Images, Masks]:
        assert objects is not None
        masks = objects & (values >= 0)[:, None, None, None]
        colors = hues(count)[values][:, :, None, None].astype(np.uint16)
        return np.where(masks, (images * colors + 127) // 255, images).astype(np.uint8), masks
