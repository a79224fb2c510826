"""ShortKit-ML's M01 and M02: copies of images, or embeddings, without their shortcut or with another background.

Images are NumPy arrays, (N, H, W) or (N, H, W, C), of any range; what comes back has their dtype, and pixels outside
the mask are the same bits. Masks are (H, W) for all images, (N, H, W), or (N, H, W, 1 or C). Soft masks, in [0, 1], are
cut: above 0.5 is inside.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from numpy.typing import ArrayLike
from pydantic.dataclasses import dataclass
from torch import Tensor

from ....datasets.as_mask import as_mask
from ....methods.augmentation import donors
from ....methods.mitigations.shortcut_masking import inpaint
from .arrays import as_array, as_embeddings, as_numbers
from .settings import SETTINGS, Number, Redrawn, Seed, Share, check_settings

CUT = 0.5
"""Values of a soft mask above this are inside."""


@dataclass(config=SETTINGS)
class ShortcutMasker(Redrawn):
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
    heatmap_threshold: Number = 0.5
    augment_fraction: Share = 1.0
    random_state: Seed = None

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
        check_settings(self)
        pixels = channels_first(images)
        if shortcut_masks is not None and heatmaps is None:
            masks = pixel_masks(shortcut_masks, pixels)
        elif heatmaps is not None and shortcut_masks is None:
            masks = pixel_masks(self._high(heatmaps), pixels)
        else:
            raise ValueError("Provide either shortcut_masks or heatmaps: both, or neither, were given")
        masks = masks & drawn(len(pixels), self.augment_fraction, self.generator())
        return like(images, torch.where(masks, self._filling(pixels, masks), pixels))

    def mask_embeddings(self, embeddings: ArrayLike, flagged_dim_indices: ArrayLike) -> Shaped[np.ndarray, "n width"]:
        """The embeddings without what the flagged dimensions say.

        They are 0, or, with `randomize`, each exchanged among the changed embeddings by a permutation of its own.

        Raises:
            ValueError: embeddings that are none, or an index that is no dimension.
        """
        check_settings(self)
        as_embeddings(embeddings)
        masked = np.array(as_array("embeddings", embeddings))
        dims = dimensions(flagged_dim_indices, masked.shape[1])
        rows = drawn(len(masked), self.augment_fraction, self.generator()).flatten().nonzero()[:, 0]
        for dim in dims:
            order = rows[torch.randperm(len(rows), generator=self.generator())]
            masked[rows, dim] = masked[order, dim] if self.strategy == "randomize" else 0
        return masked

    def _high(self, heatmaps: ArrayLike) -> Bool[np.ndarray, "*shape"]:
        return as_numbers("heatmaps", heatmaps) >= self.heatmap_threshold

    def _filling(self, pixels: Tensor, masks: Tensor) -> Tensor:
        match self.strategy:
            case "zero":
                return torch.zeros_like(pixels)
            case "randomize":
                low, high = pixels.amin((0, 2, 3), keepdim=True), pixels.amax((0, 2, 3), keepdim=True)
                noise = torch.rand(pixels.shape, generator=self.generator(), dtype=pixels.dtype)
                return low + (high - low) * noise
            case "inpaint":
                return inpaint(pixels, (~masks).expand_as(pixels).to(pixels))


@dataclass(config=SETTINGS)
class BackgroundRandomizer(Redrawn):
    """Puts foregrounds before other images' backgrounds (Xiao et al., ICLR 2021: Mixed-Rand).

        x~_i = m_i x_i + (1 - m_i) b_j,   b_j = x_j where m_j = 0, inpainted where m_j = 1

    m is 1 on the foreground; j is another image. Nothing is added up, and no hole has the shape of j's foreground.

    Args:
        augment_fraction: share of the images that are changed; which ones is drawn.
        random_state: seed. Every call draws anew; another randomizer with this seed starts over.
    """

    augment_fraction: Share = 1.0
    random_state: Seed = None

    def swap_foregrounds(
        self, images: Shaped[np.ndarray, "n rows columns *channels"], foreground_masks: ArrayLike
    ) -> Shaped[np.ndarray, "n rows columns *channels"]:
        """The images before other images' backgrounds.

        Raises:
            ValueError: fewer than two images; shapes or values that do not fit.
        """
        check_settings(self)
        pixels = channels_first(images)
        if len(pixels) < 2:
            raise ValueError(f"{len(pixels)} image has no other image's background: give two or more")
        foreground = pixel_masks(foreground_masks, pixels)
        changed = drawn(len(pixels), self.augment_fraction, self.generator())
        backgrounds = inpaint(pixels, (~foreground).expand_as(pixels).to(pixels))
        others = backgrounds[donors(len(pixels), self.generator())]
        return like(images, torch.where(~foreground & changed, others, pixels))


def dimensions(flagged: ArrayLike, width: int) -> Int[np.ndarray, "dims"]:
    """The flagged dimensions of embeddings of this width; none are as good as some.

    Raises:
        ValueError: no integers, or an integer that is no dimension.
    """
    dims = as_array("flagged_dim_indices", flagged)
    if dims.size and dims.dtype.kind == "b":
        raise ValueError("flagged_dim_indices are bools: give positions, e.g. np.flatnonzero(flagged)")
    if dims.ndim != 1 or (dims.size and dims.dtype.kind not in "iu"):
        raise ValueError(f"flagged_dim_indices are {flagged!r}: give a list of integers in 0..{width - 1}")
    if ((dims < 0) | (dims >= width)).any():
        raise ValueError(f"flagged_dim_indices {dims.tolist()} of embeddings of width {width}: pass 0..{width - 1}")
    return dims.astype(np.int64)


def channels_first(images: ArrayLike) -> Float[Tensor, "n channels rows columns"]:
    """The images as floats that hold every one of their values.

    Raises:
        ValueError: another number of axes, no images, or values that are not finite numbers.
    """
    array = as_numbers("images", images)
    if array.ndim not in (3, 4) or not array.size:
        raise ValueError(f"images have shape {array.shape}, expected (n, rows, columns[, channels]) of finite values")
    floats = torch.from_numpy(array.astype(np.result_type(array.dtype, np.float32)))
    return floats[:, None] if array.ndim == 3 else floats.movedim(-1, 1)


def pixel_masks(
    masks: ArrayLike, pixels: Float[Tensor, "n channels rows columns"]
) -> Bool[Tensor, "n #channels rows columns"]:
    """The masks beside the pixels; a mask for all is repeated, soft masks are cut.

    Raises:
        ValueError: values outside [0, 1], soft masks without a pixel above the cut, or a shape that does not fit.
    """
    given = torch.from_numpy(cut(as_numbers("masks", masks)))
    if given.dim() not in (2, 3, 4):
        raise ValueError(f"masks have shape {tuple(given.shape)}, expected (rows, columns) or (n, rows, columns)")
    given = given[None] if given.dim() == 2 else given
    given = given[:, None] if given.dim() == 3 else given.movedim(-1, 1)
    if given.shape[2:] != pixels.shape[2:]:
        size, expected = tuple(given.shape[2:]), tuple(pixels.shape[2:])
        raise ValueError(
            f"masks of {size} pixels for images of {expected}: they must match images, which are (n, rows, columns) or "
            "(n, rows, columns, channels); resize or transpose"
        )
    return as_mask(given.expand(len(pixels), -1, -1, -1) if len(given) == 1 else given, pixels.shape)


def cut(masks: Shaped[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
    """Soft masks as bool; all other masks as they are.

    Raises:
        ValueError: soft masks without a pixel above the cut.
    """
    soft = masks.dtype.kind == "f" and masks.size and masks.min() >= 0 and masks.max() <= 1
    if not soft or np.isin(masks, (0, 1)).all():
        return masks
    if masks.max() <= CUT:
        raise ValueError(
            f"masks reach {masks.max():g}, so that no pixel is above {CUT}, where soft masks are cut: cut them "
            "yourself, e.g. masks >= 0.5 * masks.max()"
        )
    return masks > CUT


def drawn(count: int, share: float, generator: torch.Generator) -> Bool[Tensor, "n 1 1 1"]:
    """True for a share of `count` images."""
    return (torch.randperm(count, generator=generator) < round(share * count)).view(-1, 1, 1, 1)


def like(
    images: Shaped[np.ndarray, "n rows columns *channels"], pixels: Float[Tensor, "n channels rows columns"]
) -> Shaped[np.ndarray, "n rows columns *channels"]:
    """The pixels in the layout and dtype of the images, rounded where that holds integers."""
    array = as_array("images", images)
    result = (pixels[:, 0] if array.ndim == 3 else pixels.movedim(1, -1)).numpy()
    return (result if array.dtype.kind == "f" else np.rint(result)).astype(array.dtype)
