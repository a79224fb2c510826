"""The check of a file's labels: integers 0, 1, ... without gaps, of two classes or more."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int, Shaped


def require_label_type(name: str, shape: tuple[int, ...], dtype: np.dtype, images: int) -> None:
    """Refuses labels by what a file's header says of them.

    Args:
        name: the file and the array, for errors.
        images: number of images that the labels belong to.

    Raises:
        ValueError: no integers, or not an integer for each image; the message says how to convert them.
    """
    found, wanted = f"{name} is {dtype} of shape {shape}", f"expected integers of shape ({images},)"
    if len(shape) == 2 and shape[0] == images:
        convert = "take y.ravel()" if shape[1] == 1 else "if each row is one-hot, take y.argmax(axis=1)"
        raise ValueError(f"{found}, {wanted}: {convert}")
    if dtype.kind in "USO":
        raise ValueError(f"{found}, {wanted}: number the classes, y = np.unique(y, return_inverse=True)[1]")
    if dtype.kind not in "iu":
        raise ValueError(f"{found}, {wanted}: if these are class numbers, convert them by y.astype(np.int64)")
    if shape != (images,):
        raise ValueError(f"{found}, {wanted}, one for each image: are the images and labels of the same split?")


def require_classes(file: str, labels: Mapping[str, Shaped[np.ndarray, "n"]]) -> int:
    """The number of classes of a base whose labels are 0, 1, ... without gaps.

    Args:
        labels: of each part, by the name of its array; the training part first.

    Raises:
        ValueError: a negative label, labels that begin at 1 or have gaps, a part that has a single class, or a class
            that no training input has; the message says how to relabel.
    """
    found = {name: np.unique(part) for name, part in labels.items()}
    for name, values in found.items():
        if values[0] < 0:
            raise ValueError(
                f"{file}: {name} has a label {values[0]}, expected 0, 1, ...: remove inputs without a label, or relabel"
            )
    classes = np.unique(np.concatenate([values.astype(np.uint64) for values in found.values()]))
    names = f"{file}: {' and '.join(found)}"
    if len(classes) == 1:
        raise ValueError(f"{names}: every label is {classes[0]}, expected two classes or more: add inputs of another")
    if classes[0] == 1 and classes[-1] == len(classes):
        raise ValueError(f"{names}: labels are 1..{classes[-1]}, expected 0..{len(classes) - 1}: subtract 1")
    if classes[-1] != len(classes) - 1:
        gap = next(i for i, value in enumerate(classes) if value != i)
        raise ValueError(
            f"{names}: no label is {gap}, but one is {classes[-1]}; expected 0..{len(classes) - 1} for the "
            f"{len(classes)} classes that occur: number them anew, np.searchsorted(classes, y) with the sorted classes"
        )
    require_several_classes({f"{file}: {name}": part for name, part in labels.items()})
    (trained, known), *others = found.items()
    for name, values in others:
        if (unseen := np.setdiff1d(values, known)).size:
            raise ValueError(
                f"{file}: {name} has the label {unseen[0]}, which {trained} has not: no network can learn this class; "
                f"add training inputs of class {unseen[0]}, or leave its inputs out of {name}"
            )
    return len(classes)


def require_several_classes(labels: Mapping[str, Shaped[np.ndarray, "n"]]) -> None:
    """Raises ValueError if all labels of a part are of one class: nothing is learned from it, or measured on it."""
    for name, part in labels.items():
        if (part == part[0]).all():
            raise ValueError(
                f"{name}: every label is {part[0]}, expected two classes or more: is the file sorted by class and cut?"
            )


def require_known(labels: Mapping[str, Int[np.ndarray, "n"]], classes: int) -> None:
    """Raises ValueError unless labels, by their file, are in 0..classes-1, of two classes or more in each part."""
    for name, part in labels.items():
        if part.min() < 0 or part.max() >= classes:
            wrong = part[(part < 0) | (part >= classes)][0]
            raise ValueError(
                f"{name} has a label {wrong}, expected 0..{classes - 1}: another data set has these labels; "
                "delete the file, and the next run downloads it again"
            )
    require_several_classes(labels)
