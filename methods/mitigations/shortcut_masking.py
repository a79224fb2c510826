r"""Shortcut masking: the shortcut is hidden (ShortKit-ML, M01).

    loss = mean_n -log p_y(x_n)  +  strength * mean_n a_n * -log p_y(x~_n),   a_n = 1 if input n has a mask, else 0

x~_n is x_n with the content of its masked pixels replaced, by `fill`:

- `zero`: zeros.
- `mean`: the mean of the input's unmasked pixels, by channel.
- `noise`: numbers from U(0, 1).
- `inpaint`: the surrounding pixels, by pull and push (Gortler et al., SIGGRAPH 1996, section 3.4). Pull averages the
  known pixels over squares of 2x2, these averages over squares of 4x4, and so on; push fills a pixel with the average
  of the smallest square that has a known pixel.

All fillings are in [0, 1], the range of every dataset here. ShortKit-ML masks a share of the inputs, drawn once.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from ...datasets.base import Batch, ShortcutDataset
from ..augmentation import Augmentation, uniform
from ..base import mitigations


@mitigations.register
class ShortcutMasking(Augmentation):
    """Trains also on copies of the inputs with the shortcut hidden."""

    name: ClassVar[str] = "shortcut_masking"
    paper: ClassVar[str] = "ShortKit-ML, M01"
    equation: ClassVar[str] = (
        r"\mathcal{L} &= -\underset{n}{\operatorname{mean}} \log p_{y_n}(x_n) - \lambda\, "
        r"\underset{n}{\operatorname{mean}} a_n \log p_{y_n}(\tilde{x}_n), \\ "
        r"\tilde{x}_n &= (1 - A_n) \odot x_n + A_n \odot \operatorname{fill}(x_n), \quad a_n = [A_n \neq 0]"
    )

    fill: Literal["zero", "mean", "noise", "inpaint"] = "mean"

    def obstacle(self, dataset: ShortcutDataset, module: nn.Module) -> str:
        return super().obstacle(dataset, module) or self._without_images(dataset.features)

    def _without_images(self, shape: tuple[int, ...]) -> str:
        if self.fill != "inpaint" or len(shape) == 3:
            return ""
        return f"fill='inpaint' needs images, these inputs have shape {shape}: use fill='mean'"

    def filling(self, batch: Batch, generator: torch.Generator) -> Float[Tensor, "batch *features"]:
        match self.fill:
            case "zero":
                return torch.zeros_like(batch.inputs)
            case "mean":
                return mean_where(batch.inputs, ~batch.masks).expand_as(batch.inputs)
            case "noise":
                return uniform(batch, generator)
            case "inpaint":
                if obstacle := self._without_images(tuple(batch.inputs.shape[1:])):
                    raise ValueError(obstacle)
                return inpaint(batch.inputs, (~batch.masks).expand_as(batch.inputs).to(batch.inputs))


def mean_where(
    inputs: Float[Tensor, "batch *features"], chosen: Bool[Tensor, "batch *#features"]
) -> Float[Tensor, "batch *#features"]:
    """Each input's mean over its chosen features, by channel for images; 0 for an input without chosen features."""
    chosen, dims = chosen.expand_as(inputs), tuple(range(min(2, inputs.dim() - 1), inputs.dim()))
    return (inputs * chosen).sum(dims, keepdim=True) / chosen.sum(dims, keepdim=True).clamp(min=1)


def inpaint(
    images: Float[Tensor, "batch channels rows columns"], known: Float[Tensor, "batch channels rows columns"]
) -> Float[Tensor, "batch channels rows columns"]:
    """The images with unknown pixels filled from nearby known pixels, coarse to fine; 0 where no pixel is known.

    Args:
        known: 1 where a pixel is known, else 0.
    """
    if max(images.shape[2:]) == 1:
        return images * known
    share = F.avg_pool2d(known, 2, ceil_mode=True)
    coarse = inpaint(F.avg_pool2d(images * known, 2, ceil_mode=True) / share.clamp(min=0.25), (share > 0).to(images))
    filling = F.interpolate(coarse, scale_factor=2, mode="nearest")[:, :, : images.shape[2], : images.shape[3]]
    return torch.where(known > 0, images, filling)
