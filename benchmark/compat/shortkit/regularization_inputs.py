"""Checks of the arguments of M05: images, model, labels and masks, taken or refused before the first step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn import functional as F

from ....datasets.as_mask import as_mask
from ....methods.own_loop import check_statistics
from .arrays import NUMBERS, as_array


def as_images(images: Float[Tensor, "n channels rows columns"]) -> Float[Tensor, "n channels rows columns"]:
    """The images, without what they were computed from.

    Raises:
        ValueError: no tensor or array of numbers, another number of axes, integers, no images, or NaN or infinity.
    """
    tensor = images.detach() if isinstance(images, Tensor) else None
    if tensor is None:
        array = as_array("images", images)
        if array.dtype.kind not in NUMBERS:
            raise ValueError(f"images are {array.dtype} of shape {array.shape}: give a tensor of floats")
        tensor = torch.from_numpy(array.copy())
    if tensor.dim() != 4 or not tensor.numel() or not tensor.is_floating_point():
        raise ValueError(
            f"images are {tensor.dtype} of shape {tuple(tensor.shape)}, expected at least one, as floats of "
            "(n, channels, rows, columns), e.g. images.float() / 255"
        )
    finite = torch.isfinite(tensor).flatten(1).all(1)
    if not bool(finite.all()):
        raise ValueError(f"image {int((~finite).nonzero()[0])} is not finite: leave it out, or repair it")
    return tensor


def check_model(model: nn.Module) -> None:
    """Raises ValueError if the model is no module, couples inputs, or has a weight that is not finite."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model is {model!r}, expected a torch.nn.Module that maps images to logits: wrap it in one")
    check_statistics(model)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_inference():
            raise ValueError(f"the model's {name} was made under torch.inference_mode: make the model outside of it")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"the model's {name} is not finite before the first step: load other weights")


def label_indices(labels: ArrayLike, classes: Sequence[str] | None) -> Int[Tensor, "n"]:
    """The labels as indices of a model's outputs.

    Raises:
        ValueError: names that `classes` has not, numbers with a fraction, more than one axis, or other types.
    """
    given = as_array("labels", labels)
    if given.ndim == 1 and given.dtype == object:
        given = as_array("labels", given.tolist())
    if given.ndim != 1:
        raise ValueError(f"labels have shape {given.shape}, expected (n,): of one-hot labels, give .argmax(1)")
    if given.dtype.kind == "U":
        index = {name: position for position, name in enumerate(classes or ())}
        if unknown := set(given.tolist()) - index.keys():
            raise ValueError(
                f"labels hold the name {min(unknown)!r}, classes={classes} does not say which output that is: pass the "
                "names of the model's outputs in their order"
            )
        return torch.tensor([index[name] for name in given.tolist()])
    if given.dtype.kind not in NUMBERS:
        raise ValueError(
            f"labels are {given.dtype}, such as {given[0]!r}: give indices of the model's outputs, or names"
        )
    wrong = given[~(np.isfinite(given) & (np.trunc(given) == given))]
    if len(wrong):
        raise ValueError(f"labels hold {wrong[0]}, expected indices of the model's outputs: 0, 1, ...")
    return torch.from_numpy(given.astype(np.int64))


def masks_for(masks: ArrayLike, shape: torch.Size) -> Shaped[Tensor, "masks channels_or_1 rows columns"]:
    """Masks of the size of images of this shape: bool, or the weights of soft masks; a mask for all stays one.

    Raises:
        ValueError: values outside [0, 1], another number of masks or channels, or a mask that resizing loses.
    """
    array = as_array("shortcut_masks", masks)
    if array.dtype.kind not in NUMBERS:
        raise ValueError(f"shortcut_masks are {array.dtype} of shape {array.shape}: give numbers in [0, 1], or bools")
    given = torch.from_numpy(array.copy())
    match given.dim():
        case 2:
            given = given[None, None]
        case 3:
            given = given[:, None]
    check_channels_first(tuple(shape), array.shape)
    n, channels, *size = shape
    if given.dim() != 4 or not given.numel() or len(given) not in (1, n) or given.shape[1] not in (1, channels):
        raise ValueError(
            f"shortcut_masks have shape {array.shape}, images {tuple(shape)}: give (H, W) or (1, H, W) for all, or "
            f"({n}, H, W), ({n}, 1 or {channels}, H, W); a shortcut_masks batch size of {n}"
        )
    weights = given if is_soft(given) else as_mask(given, given.shape)
    if list(weights.shape[2:]) == size:
        return weights
    resized = F.interpolate(weights.double(), size=size, mode="nearest-exact").to(weights.dtype)
    lost = (weights > 0).flatten(1).any(1) & ~(resized > 0).flatten(1).any(1)
    if lost.any():
        raise ValueError(
            f"mask {int(lost.nonzero()[0])} is empty after it was resized from {tuple(weights.shape[2:])} to "
            f"{tuple(size)}: give masks of the images' size"
        )
    return resized


def check_channels_first(images: tuple[int, ...], masks: tuple[int, ...]) -> None:
    """Raises ValueError if images have their channels last, by their own axes or by those of the masks.

    Args:
        images: shape of the images.
        masks: shape of the masks, which may be of another size than the images.
    """
    first, last, size = images[1:3], images[2:], masks[-2:]
    coloured = images[3] in (1, 3) and images[1] not in (1, 3) and size != last
    if coloured or (size == first and size != last):
        raise ValueError(
            f"images have shape {images}, masks {masks}: the channels are last, expected (n, channels, rows, "
            "columns); transpose the images, images.transpose(0, 3, 1, 2) of an array, images.permute(0, 3, 1, 2) of "
            "a tensor"
        )


def is_soft(masks: Shaped[Tensor, "*shape"]) -> bool:
    """Whether the masks are weights: fractions in [0, 1]."""
    inside = masks.is_floating_point() and bool(((masks >= 0) & (masks <= 1)).all())
    return inside and bool(((masks > 0) & (masks < 1)).any())
