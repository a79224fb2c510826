r"""Background swap (Xiao et al., "Noise or signal", ICLR 2021, section 2: Mixed-Rand; ShortKit-ML, M02).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n a_n * -log p_y(x~_n),   a_n = 1 if input n has a mask, else 0
    x~_n = (1 - A_n) * x_n + A_n * b_m,   b_m = A_m * x_m + (1 - A_m) * mean of x_m over A_m

The masked region is the background; all other pixels are the foreground, which stays. The donor m is another input of
the batch that has a mask, and gives its background b_m. The mean colour of the donor's background covers the donor's
foreground, so that no silhouette of the donor is pasted. Both pastes are convex combinations, so x~ stays in [0, 1].
"""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from ...datasets.base import Batch
from ..augmentation import Augmentation, donors_among
from ..base import mitigations
from ..choosing import moved
from ..regions import mask_areas
from .shortcut_masking import mean_where


@mitigations.register
class BackgroundSwap(Augmentation):
    """Trains also on copies of the inputs with the background of another input."""

    name: ClassVar[str] = "background_swap"
    paper: ClassVar[str] = "Xiao et al. 2021"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) - \lambda\, "
        r"\underset{n}{\operatorname{mean}} a_n \log p_{y_n}(\tilde{x}_n), \\ "
        r"\tilde{x}_n &= (1 - A_n) \odot x_n + A_n \odot b_m, \quad a_n = [A_n \neq 0], \\ "
        r"b_m &= A_m \odot x_m + (1 - A_m) \odot \operatorname{mean}(x_m \text{ over } A_m)"
    )

    def filling(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, "batch *features"]:
        backgrounds = torch.where(batch.masks, batch.inputs, mean_where(batch.inputs, batch.masks))
        chosen = (mask_areas(batch.masks) if batch.areas is None else batch.areas) > 0
        return backgrounds[moved(donors_among(chosen, generator), backgrounds.device)]
