"""Corrupts masks as an annotator might. Mitigations are given the corrupted masks; metrics use the true masks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool

from .base import Split
from .registry import BadParameters

Corruption = Literal["true", "wrong", "half", "shifted", "dilated", "all_ones", "random"]
Masks = Bool[np.ndarray, "n *features"]
Corrupt = Callable[[Masks, np.random.Generator], Masks]


def annotate(split: Split, corruption: Corruption, annotated: int | None, rng: np.random.Generator) -> Split:
    """Corrupts the masks of a split, and empties the masks of all but `annotated` inputs, drawn at random.

    Core masks are corrupted and emptied as shortcut masks are.

    Corruptions move and grow masks along the last two axes of images, and along the columns of flat inputs. An empty
    mask stays empty, except under `all_ones`. `annotated=None` empties no mask.

    Raises:
        BadParameters: more annotations than inputs.
    """
    if corruption == "true" and annotated is None:
        return split
    corrupt = CORRUPTIONS[corruption]
    masks, kept = corrupt(split.masks[:].numpy(), rng), np.ones(len(split), dtype=bool)
    if annotated is not None:
        require_inputs_to_annotate(annotated, len(split))
        kept = rng.permutation(len(split)) < annotated
    core = None if split.core is None else _only(kept, corrupt(split.core.numpy(), rng))
    return replace(split, masks=_only(kept, masks), core=core)


def _only(kept: Bool[np.ndarray, "n"], masks: Masks) -> Bool[torch.Tensor, "n *features"]:
    return torch.from_numpy(masks & kept.reshape(-1, *[1] * (masks.ndim - 1)))


def require_inputs_to_annotate(annotated: int | None, inputs: int) -> None:
    """Raises BadParameters if masks are asked for on more training inputs than there are."""
    if annotated is not None and annotated > inputs:
        raise BadParameters(f"annotated = {annotated}, but there are {inputs} training inputs: ask for fewer")


def _true(masks: Masks, rng: np.random.Generator) -> Masks:
    return masks


def _wrong(masks: Masks, rng: np.random.Generator) -> Masks:
    """Replaces each mask by as many pixels outside it.

    Rolls the mask by half the width, by half the height, or by both: the first roll that moves it where no input has
    its shortcut (a corner square goes to the middle of its border), else the first roll that moves it off its own
    pixels. If no roll does, draws as many pixels outside the mask, or takes them all if the mask covers more than half.
    """
    half = [size // 2 for size in _space(masks)]
    shifts = [(half[0],)] if len(half) == 1 else [(0, half[1]), (half[0], 0), (half[0], half[1])]
    wrong, pending = np.zeros_like(masks), _any(masks)
    for avoided in (masks.any(axis=0, keepdims=True), masks):
        wrong, pending = _roll(masks, shifts, wrong, pending, lambda rolled, avoided=avoided: ~_any(rolled & avoided))
    wrong[pending] = _scatter(masks[pending], ~masks[pending], rng)
    return wrong


def _half(masks: Masks, rng: np.random.Generator) -> Masks:
    """Removes the first half of each mask, in raster order, rounded down: `incomplete` in Friedrich et al. 2023."""
    rank = _flat(masks).cumsum(axis=1, dtype=np.int32)
    return masks & (rank > rank[:, -1:] // 2).reshape(masks.shape)


def _shifted(masks: Masks, rng: np.random.Generator) -> Masks:
    """Rolls each mask by one pixel down and right, else right, else down: the first roll that overlaps the true mask.

    A mask stays as it is if every roll gives the same mask or a mask without overlap.
    """
    shifts = [(1,)] if len(_space(masks)) == 1 else [(1, 1), (0, 1), (1, 0)]
    shifted, _ = _roll(
        masks, shifts, masks.copy(), _any(masks), lambda rolled: _any(rolled & masks) & _any(rolled != masks)
    )
    return shifted


def _dilated(masks: Masks, rng: np.random.Generator) -> Masks:
    """Grows each mask by one pixel on every side, diagonals too; by one column on both sides for flat inputs."""
    for axis in _axes(masks):
        along = np.moveaxis(masks, axis, 0)
        grown = along.copy()
        grown[1:] |= along[:-1]
        grown[:-1] |= along[1:]
        masks = np.ascontiguousarray(np.moveaxis(grown, 0, axis))
    return masks


def _all_ones(masks: Masks, rng: np.random.Generator) -> Masks:
    return np.ones_like(masks)


def _random(masks: Masks, rng: np.random.Generator) -> Masks:
    """Draws as many pixels as each mask has, anywhere."""
    return _scatter(masks, np.ones_like(masks), rng)


CORRUPTIONS: dict[Corruption, Corrupt] = {
    "true": _true,
    "wrong": _wrong,
    "half": _half,
    "shifted": _shifted,
    "dilated": _dilated,
    "all_ones": _all_ones,
    "random": _random,
}


def _axes(masks: Masks) -> tuple[int, ...]:
    return (1,) if masks.ndim == 2 else (masks.ndim - 2, masks.ndim - 1)


def _space(masks: Masks) -> list[int]:
    return [masks.shape[axis] for axis in _axes(masks)]


def _flat(masks: Masks) -> Bool[np.ndarray, "n pixels"]:
    return masks.reshape(len(masks), -1)


def _any(masks: Masks) -> Bool[np.ndarray, "n"]:
    return np.any(_flat(masks), axis=1)


def _roll(
    masks: Masks,
    shifts: Sequence[tuple[int, ...]],
    result: Masks,
    pending: Bool[np.ndarray, "n"],
    fits: Callable[[Masks], Bool[np.ndarray, "n"]],
) -> tuple[Masks, Bool[np.ndarray, "n"]]:
    """Rolls each pending mask into `result` by the first shift that fits; returns the masks still pending, too."""
    for shift in shifts:
        rolled = np.roll(masks, shift, _axes(masks))
        fitting = pending & fits(rolled)
        result[fitting] = rolled[fitting]
        pending = pending & ~fitting
    return result, pending


def _scatter(masks: Masks, allowed: Masks, rng: np.random.Generator) -> Masks:
    """Draws as many allowed pixels as each mask has; takes all allowed pixels if they are fewer."""
    if not len(masks):
        return masks
    area = np.minimum(_flat(masks).sum(axis=1), _flat(allowed).sum(axis=1))[:, None]
    keys = np.where(_flat(allowed), rng.random(_flat(masks).shape), 1.0)
    largest = np.take_along_axis(np.sort(keys, axis=1), np.maximum(area - 1, 0), axis=1)
    return ((keys <= largest) & (area > 0)).reshape(masks.shape)
