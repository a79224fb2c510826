"""Twins of images whose generator nobody knows, made up from their masks.

`exchanged`: the masked region of a donor of another class, moved into the input's own mask, from bounding box to
bounding box, resized where these differ. `elsewhere`, the control: the same exchange of regions as large that are no
shortcut. Where some inputs are known to have no shortcut: `removed`, the region filled from its border; `added`, the
region of a donor at the donor's place. How well they agree with true twins: docs/data.md.

A twin's masks say where it may differ from the input as it was; an input without a twin is itself, and its mask empty.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor
from torch.nn import functional as F

from .base import Environment, Split, chunks, generator
from .fill import harmonic_fill
from .on_disk import OnDisk

NONE = -1
"""The donor of an input that has none."""
TRIES = 200
"""Wrong places that are drawn for an input before it goes without."""

Image = Shaped[Tensor, "channels height width"]
Mask = Bool[Tensor, "height width"]
Box = Int[np.ndarray, "4"]
"""top, left, bottom, right; the last two are just outside."""


def made_up(observed: Split, seed: int, valued: bool = False) -> dict[Environment, Split]:
    """The twins that can be made up of images (n, channels, height, width), each read when it is asked for.

    Args:
        observed: the images as they are.
        valued: the images have shortcut values: then a donor has another one, if there is such a donor.

    Returns:
        `exchanged` and `elsewhere` if inputs of two classes have masks; `removed` and `added` if some inputs have
        masks and others are known to have none. A twin's shortcut value is its donor's, or its donor's label.
    """
    return Twins(observed, seed, valued).environments()


@dataclass(frozen=True, eq=False)
class Twins:
    """The twins of a split; see `made_up`."""

    observed: Split
    seed: int
    valued: bool

    def environments(self) -> dict[Environment, Split]:
        shown, donors = self.boxes[:, 2] > 0, self._donors()
        twins: dict[Environment, Split] = {}
        if (donors[shown] >= 0).any():
            twins["exchanged"] = self._split("exchanged", donors, lambda row: self.mask(row))
        empty = self._known & ~shown
        if shown.any() and empty.any():
            everywhere = np.where(shown, np.arange(len(shown)), NONE)
            twins["removed"] = self._split("removed", everywhere, lambda row: self.mask(row))
            if (added := np.where(empty, donors, NONE)).max() >= 0:
                twins["added"] = self._split("added", added, lambda row: self.mask(int(added[row])))
        if "exchanged" in twins and (elsewhere := self._with_places(donors)).max() >= 0:
            twins["elsewhere"] = self._split("elsewhere", elsewhere, lambda row: self.moved_mask(row))
        return twins

    def mask(self, row: int) -> Mask:
        """Of an input, the same for all its channels."""
        return self.observed.masks[torch.tensor([row])][0].any(0).expand(self._size)

    def moved_mask(self, row: int) -> Mask:
        """An input's mask at its wrong place."""
        mask, (top, left, bottom, right) = torch.zeros(self._size, dtype=torch.bool), self.boxes[row]
        y, x = self.places[row]
        mask[y : y + bottom - top, x : x + right - left] = self.mask(row)[top:bottom, left:right]
        return mask

    @cached_property
    def boxes(self) -> Int[np.ndarray, "n 4"]:
        """The bounding box of each mask; zeros where it is empty."""
        masks = self.observed.masks
        return np.concatenate([bounding_boxes(masks[rows].any(1)) for rows in chunks(masks)])

    @cached_property
    def places(self) -> Int[np.ndarray, "n 2"]:
        """A wrong place for each bounding box, top and left: beside the box itself, drawn; -1 where there is none."""
        rng = generator(self.seed, "made up/places")
        top, left, bottom, right = self.boxes.T
        height, width = bottom - top, right - left
        places = np.full((len(self.boxes), 2), NONE)
        for _ in range(TRIES):
            drawn = rng.random((2, len(self.boxes)))
            y, x = (
                (share * (size - own + 1)).astype(np.int64)
                for share, size, own in zip(drawn, self._size, (height, width), strict=True)
            )
            beside = (y + height <= top) | (y >= bottom) | (x + width <= left) | (x >= right)
            fits = (places[:, 0] < 0) & beside & (bottom > 0)
            places[fits] = np.stack([y, x], 1)[fits]
        return places

    @property
    def _size(self) -> tuple[int, int]:
        height, width = self.observed.inputs.shape[-2:]
        return height, width

    @property
    def _known(self) -> Bool[np.ndarray, "n"]:
        known = self.observed.known
        return np.ones(len(self.observed), bool) if known is None else known.cpu().numpy()

    def _donors(self) -> Int[np.ndarray, "n"]:
        """For each known input one of those that have masks, of another class: drawn, each as likely."""
        rng = generator(self.seed, "made up/donors")
        labels, values = self.observed.labels.numpy(), self.observed.shortcuts.numpy()
        able, donors = np.flatnonzero(self.boxes[:, 2] > 0), np.full(len(labels), NONE)
        kinds = np.stack([labels, values if self.valued else labels], 1)
        for label, value in np.unique(kinds, axis=0):
            other_class = able[labels[able] != label]
            other_value = other_class[(values[other_class] != value) & (values[other_class] >= 0)]
            drawn_from = other_value if self.valued and len(other_value) else other_class
            own = np.flatnonzero((kinds == (label, value)).all(1) & self._known)
            if len(drawn_from) and len(own):
                donors[own] = rng.choice(drawn_from, len(own))
        return donors

    def _with_places(self, donors: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
        """The donors of inputs that have a wrong place themselves and whose donor has, too."""
        placed = self.places[:, 0] >= 0
        return np.where(placed & (donors >= 0) & placed[donors], donors, NONE)

    def _split(self, kind: Environment, donors: Int[np.ndarray, "n"], place: Callable[[int], Mask]) -> Split:
        """A twin's split; `place` is where the twin of a row may differ."""
        changes = (donors >= 0) & ((self.boxes[:, 2] > 0) | (kind == "added"))
        inputs, masks = self.observed.inputs, self.observed.masks
        said = kind, self.seed, self.valued, donors.tolist(), self.observed.labels.tolist()
        digest = hashlib.sha256(f"{said} {_digest(inputs)} {_digest(masks)}".encode()).hexdigest()

        def read_inputs(rows: Int[Tensor, "rows"]) -> Shaped[Tensor, "rows channels height width"]:
            twins = inputs[rows].clone()
            for i, row in enumerate(rows.tolist()):
                if changes[row]:
                    donor = inputs[torch.tensor([donors[row]])][0]
                    twins[i] = self._twin(kind, twins[i], row, donor, int(donors[row]))
            return twins

        def read_masks(rows: Int[Tensor, "rows"]) -> Bool[Tensor, "rows 1 height width"]:
            nowhere = torch.zeros(self._size, dtype=torch.bool)
            return torch.stack([place(row) if changes[row] else nowhere for row in rows.tolist()])[:, None]

        of_donor = (self.observed.shortcuts if self.valued else self.observed.labels)[torch.from_numpy(donors)]
        value = {"removed": torch.full_like(of_donor, -1), "elsewhere": self.observed.shortcuts}.get(kind, of_donor)
        return Split(
            OnDisk(tuple(inputs.shape), inputs.dtype, read_inputs, digest),
            self.observed.labels,
            OnDisk((len(donors), 1, *self._size), torch.bool, read_masks, digest),
            torch.where(torch.from_numpy(changes), value, self.observed.shortcuts),
            known=self.observed.known,
        )

    def _twin(self, kind: Environment, image: Image, row: int, donor: Image, other: int) -> Image:
        match kind:
            case "exchanged":
                return moved_region(image, self.mask(row), donor, self.mask(other))
            case "elsewhere":
                return moved_region(image, self.moved_mask(row), donor, self.moved_mask(other))
            case "added":
                return torch.where(self.mask(other), donor, image)
            case _:
                return _as_dtype(harmonic_fill(image.double().numpy(), self.mask(row).numpy()), image.dtype)


def moved_region(image: Image, mask: Mask, donor: Image, donor_mask: Mask) -> Image:
    """The image, with the donor's masked region in its own mask: bounding box to bounding box, bilinear.

    Within the donor's bounding box, a pixel outside the donor's mask takes the value of the nearest pixel inside.
    """
    top, left, bottom, right = bounding_boxes(mask[None])[0]
    region, size = _region(donor, donor_mask), (int(bottom - top), int(right - left))
    if region.shape[1:] != size:
        resized = F.interpolate(region[None].double(), size, mode="bilinear", antialias=True)[0]
        region = _as_dtype(resized.numpy(), image.dtype)
    twin = image.clone()
    box = slice(top, bottom), slice(left, right)
    twin[:, *box] = torch.where(mask[box], region, image[:, *box])
    return twin


def grown(split: Split, pixels: int) -> Split:
    """The split with each mask as many pixels wider on every side."""

    def read(rows: Int[Tensor, "rows"]) -> Bool[Tensor, "rows #channels height width"]:
        return F.max_pool2d(split.masks[rows].float(), 2 * pixels + 1, stride=1, padding=pixels) > 0

    digest = hashlib.sha256(f"{pixels} wider {_digest(split.masks)}".encode()).hexdigest()
    return replace(split, masks=OnDisk(tuple(split.masks.shape), torch.bool, read, digest))


def bounding_boxes(masks: Bool[Tensor, "n height width"]) -> Int[np.ndarray, "n 4"]:
    """top, left, bottom, right of each mask, the last two just outside; zeros for an empty mask."""
    sides = []
    for axis in (2, 1):
        along = masks.any(axis).int()
        first = along.argmax(1)
        last = along.shape[1] - along.flip(1).argmax(1)
        sides.append((first, last * along.any(1)))
    (top, bottom), (left, right) = sides
    return torch.stack([top, left, bottom, right], 1).numpy()


def _region(image: Image, mask: Mask) -> Shaped[Tensor, "channels _ _"]:
    """What is in a mask's bounding box, the mask's own pixels alone."""
    from scipy.ndimage import distance_transform_edt  # takes a while to import

    top, left, bottom, right = bounding_boxes(mask[None])[0]
    box = slice(top, bottom), slice(left, right)
    region, inside = image[:, *box], mask[box]
    if inside.all():
        return region
    rows, columns = distance_transform_edt(~inside.numpy(), return_distances=False, return_indices=True)  # pyrefly: ignore
    return region[:, torch.from_numpy(rows).long(), torch.from_numpy(columns).long()]


def _as_dtype(values: Float[np.ndarray, "channels height width"], dtype: torch.dtype) -> Image:
    """Values in the type of the images, rounded and within its range."""
    tensor = torch.from_numpy(values)
    if dtype == torch.uint8:
        return tensor.round().clamp(0, 255).to(dtype)
    return tensor.clamp(0, 1).to(dtype)


def _digest(tensor: Tensor | OnDisk) -> str:
    if isinstance(tensor, OnDisk):
        return tensor.digest
    return hashlib.sha256(tensor.contiguous().numpy().tobytes()).hexdigest()
