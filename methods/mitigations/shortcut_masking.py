r"""Shortcut masking: the shortcut is hidden (ShortKit-ML, M01).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n a_n * -log p_y(x~_n),   a_n = 1 if input n has a mask, else 0

x~_n is x_n with its masked pixels, and no others, replaced by `fill`: `zero`; `mean`, of the input's other pixels by
channel; `noise` from U(0, 1); `inpaint`, from the pixels around by pull and push (Gortler et al., SIGGRAPH 1996,
section 3.4): averages of the known pixels over squares of 2x2, averages of those over squares of 4x4, and so on; a
pixel is filled from the smallest square that knows any. All of it is in [0, 1], the range of every dataset here.
ShortKit-ML replaces a share of the inputs, and draws once.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from ...datasets.base import Batch
from ..augmentation import Augmentation, uniform
from ..base import mitigations


@mitigations.register
class ShortcutMasking(Augmentation):
    """Trains on inputs whose shortcut is hidden, too."""

    name: ClassVar[str] = "shortcut_masking"
    paper: ClassVar[str] = "ShortKit-ML, M01"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) - \lambda\, "
        r"\underset{n}{\operatorname{mean}} a_n \log p_{y_n}(\tilde{x}_n), \\ "
        r"\tilde{x}_n &= (1 - A_n) \odot x_n + A_n \odot \operatorname{fill}(x_n), \quad a_n = [A_n \neq 0]"
    )

    fill: Literal["zero", "mean", "noise", "inpaint"] = "mean"

    def filling(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, "batch *features"]:
        match self.fill:
            case "zero":
                return torch.zeros_like(batch.inputs)
            case "mean":
                return mean_where(batch.inputs, ~batch.masks).expand_as(batch.inputs)
            case "noise":
                return uniform(batch, generator)
            case "inpaint":
                if batch.inputs.dim() != 4:
                    shape = tuple(batch.inputs.shape[1:])
                    raise ValueError(f"fill='inpaint' needs images, these inputs have shape {shape}: use fill='mean'")
                return inpaint(batch.inputs, (~batch.masks).expand_as(batch.inputs).to(batch.inputs))


def mean_where(
    inputs: Float[Tensor, "batch *features"], chosen: Bool[Tensor, "batch *#features"]
) -> Float[Tensor, "batch *#features"]:
    """Each input's mean over the chosen features, by channel where it is an image; 0 where none is chosen."""
    chosen, dims = chosen.expand_as(inputs), tuple(range(min(2, inputs.dim() - 1), inputs.dim()))
    return (inputs * chosen).sum(dims, keepdim=True) / chosen.sum(dims, keepdim=True).clamp(min=1)


def inpaint(
    images: Float[Tensor, "batch channels rows columns"], known: Float[Tensor, "batch channels rows columns"]
) -> Float[Tensor, "batch channels rows columns"]:
    """The images with what is not known filled in from around, coarse to fine; 0 where nothing is known.

    Args:
        known: 1 where a pixel is known, else 0.
    """
    if max(images.shape[2:]) == 1:
        return images * known
    share = F.avg_pool2d(known, 2, ceil_mode=True)
    coarse = inpaint(F.avg_pool2d(images * known, 2, ceil_mode=True) / share.clamp(min=0.25), (share > 0).to(images))
    around = F.interpolate(coarse, scale_factor=2, mode="nearest")[:, :, : images.shape[2], : images.shape[3]]
    return torch.where(known > 0, images, around)
