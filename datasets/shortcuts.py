"""The check of a file's own masks and shortcut values: whether they fit the images, each other, and the classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Int, Shaped

Masks = Bool[np.ndarray, "n 1 height width"]
Values = Int[np.ndarray, "n"]


def require_mask_type(name: str, shape: tuple[int, ...], dtype: np.dtype, images: tuple[int, ...]) -> None:
    """Refuses masks by what a file's header says of them.

    Args:
        name: the file and the array, for errors.
        images: shape of the images, (n, height, width) with or without channels.

    Raises:
        ValueError: no truth values or integers, or not a mask for each image.
    """
    wanted = images[:3]
    if shape not in (wanted, (*wanted, 1)):
        raise ValueError(
            f"{name} has shape {shape}, expected {wanted}: one mask for each image, of its height and width; "
            "give an image without a shortcut a mask of zeros"
        )
    if dtype.kind == "f":
        raise ValueError(
            f"{name} is {dtype}, expected bool or 0 and 1 as integers: of a heatmap take the pixels above a "
            "threshold, e.g. masks >= 0.5 * masks.max()"
        )
    if dtype.kind not in "biu":
        raise ValueError(f"{name} is {dtype}, expected bool or 0 and 1 as integers: save masks as np.bool_")


def require_shortcut_type(name: str, shape: tuple[int, ...], dtype: np.dtype, images: int) -> None:
    """Raises ValueError unless a file's header says that there is an integer for each image."""
    found, wanted = f"{name} is {dtype} of shape {shape}", f"expected integers of shape ({images},)"
    if dtype.kind not in "iu":
        raise ValueError(
            f"{found}, {wanted}: number the values 0, 1, ..., and give an image without a shortcut the value -1"
        )
    if shape != (images,):
        raise ValueError(f"{found}, {wanted}, one for each image: are images and shortcut values of the same split?")


def as_masks(masks: Shaped[np.ndarray, "n height width *one"], name: str) -> Masks:
    """The masks as bool, with an axis for channels.

    Raises:
        ValueError: values that are neither 0 nor 1, or masks of all pixels.
    """
    odd = masks[(masks != 0) & (masks != 1)]
    if odd.size:
        raise ValueError(f"{name} has the value {odd[0]}, expected 0 and 1: save masks > 0 if other pixels are 0")
    if masks.all():
        raise ValueError(
            f"{name} covers every pixel of all {len(masks)} images, so nothing is left that is no shortcut: give 1 "
            "where the shortcut is alone; if 1 stands for the rest of the image, exchange True and False"
        )
    return np.ascontiguousarray(masks.reshape(len(masks), 1, *masks.shape[1:3]).astype(bool))


def require_shortcuts(name: str, values: Values, masks: Masks) -> None:
    """Refuses shortcut values that contradict the masks of the same part.

    Raises:
        ValueError: a value below -1, a value without a mask, or a mask without a value; the message names an image.
    """
    if values.min() < -1:
        raise ValueError(f"{name} has the value {values.min()}, expected 0, 1, ..., or -1 where there is no shortcut")
    shown = np.any(masks.reshape(len(masks), -1), axis=1)
    if (wrong := np.flatnonzero(shown != (values >= 0))).size:
        first = int(wrong[0])
        said = "a mask and the value -1" if shown[first] else f"the value {values[first]} and an empty mask"
        raise ValueError(
            f"{name}: image {first} has {said}, and {len(wrong) - 1} more images are like it: give a mask and a value "
            "of 0 or more where there is a shortcut, and neither where there is none"
        )


def class_shortcuts(
    file: str, parts: Mapping[str, tuple[Values, Int[np.ndarray, "n"]]], classes: int
) -> Int[np.ndarray, "classes"]:
    """The shortcut value that each class carries most often in training.

    Args:
        parts: shortcut values and labels by the name of the values' array, training first.

    Raises:
        ValueError: values with gaps, a class without a commonest value, a value that is the commonest of no class, or
            the same commonest value in every class: the shortcut tells nothing of the class.
    """
    (name, (values, labels)), *others = parts.items()
    if not (values >= 0).any():
        raise ValueError(f"{file}: {name} is -1 for every image, so there is no shortcut: give values of 0 or more")
    known = int(values.max()) + 1
    missing = sorted(set(range(min(known, len(values) + 1))) - set(values.tolist()))
    if missing:
        raise ValueError(f"{file}: {name} has the value {known - 1} and no {missing[0]}: number the values 0, 1, ...")
    for other, (of_part, _) in others:
        if of_part.max() >= known:
            raise ValueError(
                f"{file}: {other} has the value {of_part.max()}, which {name} has not: leave these images out"
            )
    counts = np.zeros((classes, known), dtype=np.int64)
    np.add.at(counts, (labels[values >= 0], values[values >= 0]), 1)
    own = counts.argmax(axis=1)
    for label, (count, value) in enumerate(zip(counts, own, strict=True)):
        if (count == count[value]).sum() > 1:
            raise ValueError(
                f"{file}: {name}: class {label} has no commonest value (counts {count.tolist()[:10]}): the shortcut "
                "does not say this class, so no environment can be against it; leave the class out"
            )
    used = set(own.tolist())
    if len(used) == 1:
        raise ValueError(
            f"{file}: {name}: the commonest value of every class is {own[0]}, so the shortcut tells nothing of the "
            "class: give the values of another shortcut"
        )
    if unused := sorted(set(range(known)) - used):
        raise ValueError(
            f"{file}: {name}: the value {unused[0]} is the commonest of no class, so it speaks for none: merge it with "
            "another value"
        )
    return own
