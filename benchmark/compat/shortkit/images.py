"""ShortKit-ML's M01 and M02: copies of images, or embeddings, without their shortcut or with another background.

Images are NumPy arrays, (N, H, W) or (N, H, W, C), of any range; what comes back has their dtype, and pixels outside
the mask are the same bits. Masks are (H, W) for all images, (N, H, W), or (N, H, W, 1 or C).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Shaped
from numpy.typing import ArrayLike
from pydantic.dataclasses import dataclass
from torch import Tensor

from ....datasets.base import as_mask
from ....methods.augmentation import donors
from ....methods.mitigations.shortcut_masking import inpaint
from .settings import SETTINGS, Seed, Share, generator_of


@dataclass(config=SETTINGS)
class ShortcutMasker:
    """Hides the shortcut (Teso and Kersting, AIES 2019: counterexamples).

    Args:
        strategy: what the masked pixels show. `zero`; `randomize`, draws from U(least, greatest value of that channel
            in these images); `inpaint`, the pixels around, see `shortcut_masking`.
        heatmap_threshold: a heatmap's pixels from here on are the mask.
        augment_fraction: share of the images that are changed; which ones is drawn.
        random_state: seed. Every call draws anew; another masker with this seed starts over.

    Raises:
        ValueError: an argument out of its range.
    """

    strategy: Literal["zero", "randomize", "inpaint"] = "randomize"
    heatmap_threshold: float = 0.5
    augment_fraction: Share = 1.0
    random_state: Seed = None

    def __post_init__(self) -> None:
        self._generator = generator_of(self.random_state)

    def mask_images(
        self,
        images: Shaped[np.ndarray, "n rows columns *channels"],
        shortcut_masks: ArrayLike | None = None,
        heatmaps: ArrayLike | None = None,
    ) -> Shaped[np.ndarray, "n rows columns *channels"]:
        """The images with another content where the masks are 1, or the heatmaps high.

        Raises:
            ValueError: masks and heatmaps both given or neither; shapes or values that do not fit.
        """
        pixels = channels_first(images)
        if shortcut_masks is not None and heatmaps is None:
            masks = pixel_masks(shortcut_masks, pixels)
        elif heatmaps is not None and shortcut_masks is None:
            masks = pixel_masks(self._high(heatmaps), pixels)
        else:
            raise ValueError("give either shortcut_masks or heatmaps")
        masks = masks & drawn(len(pixels), self.augment_fraction, self._generator)
        return like(images, torch.where(masks, self._filling(pixels, masks), pixels))

    def mask_embeddings(
        self, embeddings: Float[np.ndarray, "n width"], flagged_dim_indices: Sequence[int]
    ) -> Float[np.ndarray, "n width"]:
        """The embeddings without what the flagged dimensions say.

        They are 0, or, with `randomize`, each exchanged among the changed embeddings by a permutation of its own.

        Raises:
            ValueError: an index that is no dimension.
        """
        masked = np.array(embeddings)
        dims = np.asarray(flagged_dim_indices, dtype=np.int64)
        if masked.ndim != 2 or ((dims < 0) | (dims >= masked.shape[1])).any():
            raise ValueError(f"flagged_dim_indices {dims.tolist()} of embeddings {masked.shape}: pass 0..width-1")
        rows = drawn(len(masked), self.augment_fraction, self._generator).flatten().nonzero()[:, 0]
        for dim in dims:
            order = rows[torch.randperm(len(rows), generator=self._generator)]
            masked[rows, dim] = masked[order, dim] if self.strategy == "randomize" else 0
        return masked

    def _high(self, heatmaps: ArrayLike) -> Bool[np.ndarray, "*shape"]:
        heat = np.asarray(heatmaps)
        if not np.isfinite(heat).all():
            raise ValueError("heatmaps hold values that are not finite: set them to 0")
        return heat >= self.heatmap_threshold

    def _filling(self, pixels: Tensor, masks: Tensor) -> Tensor:
        match self.strategy:
            case "zero":
                return torch.zeros_like(pixels)
            case "randomize":
                low, high = pixels.amin((0, 2, 3), keepdim=True), pixels.amax((0, 2, 3), keepdim=True)
                noise = torch.rand(pixels.shape, generator=self._generator, dtype=pixels.dtype)
                return low + (high - low) * noise
            case "inpaint":
                return inpaint(pixels, (~masks).expand_as(pixels).to(pixels))


@dataclass(config=SETTINGS)
class BackgroundRandomizer:
    """Puts foregrounds before other images' backgrounds (Xiao et al., ICLR 2021: Mixed-Rand).

        x~_i = m_i x_i + (1 - m_i) b_j,   b_j = x_j where m_j = 0, inpainted where m_j = 1

    m is 1 on the foreground; j is another image. Nothing is added up, and no hole has the shape of j's foreground.

    Args:
        augment_fraction: share of the images that are changed; which ones is drawn.
        random_state: seed. Every call draws anew; another randomizer with this seed starts over.
    """

    augment_fraction: Share = 1.0
    random_state: Seed = None

    def __post_init__(self) -> None:
        self._generator = generator_of(self.random_state)

    def swap_foregrounds(
        self, images: Shaped[np.ndarray, "n rows columns *channels"], foreground_masks: ArrayLike
    ) -> Shaped[np.ndarray, "n rows columns *channels"]:
        """The images before other images' backgrounds.

        Raises:
            ValueError: fewer than two images; shapes or values that do not fit.
        """
        pixels = channels_first(images)
        if len(pixels) < 2:
            raise ValueError(f"{len(pixels)} image has no other image's background: give two or more")
        foreground = pixel_masks(foreground_masks, pixels)
        changed = drawn(len(pixels), self.augment_fraction, self._generator)
        backgrounds = inpaint(pixels, (~foreground).expand_as(pixels).to(pixels))
        others = backgrounds[donors(len(pixels), self._generator)]
        return like(images, torch.where(~foreground & changed, others, pixels))


def channels_first(images: Shaped[np.ndarray, "n rows columns *channels"]) -> Float[Tensor, "n channels rows columns"]:
    """The images as floats that hold every one of their values.

    Raises:
        ValueError: another number of axes, no images, or values that are not finite.
    """
    array = np.asarray(images)
    if array.ndim not in (3, 4) or not array.size or not np.isfinite(array).all():
        raise ValueError(f"images have shape {array.shape}, expected (n, rows, columns[, channels]) of finite values")
    floats = torch.from_numpy(array.astype(np.result_type(array.dtype, np.float32)))
    return floats[:, None] if array.ndim == 3 else floats.movedim(-1, 1)


def pixel_masks(
    masks: ArrayLike, pixels: Float[Tensor, "n channels rows columns"]
) -> Bool[Tensor, "n #channels rows columns"]:
    """The masks beside the pixels; one for all is repeated.

    Raises:
        ValueError: values other than 0 and 1, or a shape that does not fit.
    """
    given = torch.from_numpy(np.array(masks))
    if given.dim() not in (2, 3, 4):
        raise ValueError(f"masks have shape {tuple(given.shape)}, expected (rows, columns) or (n, rows, columns)")
    given = given[None] if given.dim() == 2 else given
    given = given[:, None] if given.dim() == 3 else given.movedim(-1, 1)
    if given.shape[2:] != pixels.shape[2:]:
        size, expected = tuple(given.shape[2:]), tuple(pixels.shape[2:])
        raise ValueError(f"masks of {size} pixels for images of {expected}: resize them")
    return as_mask(given.expand(len(pixels), -1, -1, -1) if len(given) == 1 else given, pixels.shape)


def drawn(count: int, share: float, generator: torch.Generator) -> Bool[Tensor, "n 1 1 1"]:
    """True for a share of `count` images."""
    return (torch.randperm(count, generator=generator) < round(share * count)).view(-1, 1, 1, 1)


def like(
    images: Shaped[np.ndarray, "n rows columns *channels"], pixels: Float[Tensor, "n channels rows columns"]
) -> Shaped[np.ndarray, "n rows columns *channels"]:
    """The pixels in the layout and dtype of the images, rounded where that holds integers."""
    array = np.asarray(images)
    result = (pixels[:, 0] if array.ndim == 3 else pixels.movedim(1, -1)).numpy()
    return (result if array.dtype.kind == "f" else np.rint(result)).astype(array.dtype)
