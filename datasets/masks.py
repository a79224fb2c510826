"""Masks as an annotator might get them wrong. Only what a mitigation is told changes; metrics use the true masks."""

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
    """The split with corrupted masks, of which `annotated` inputs, drawn at random, keep one; None for all.

    A mask lies in space: its last two axes for images, its columns for flat inputs. An input whose mask is empty keeps
    an empty one, except under `all_ones`.

    Raises:
        BadParameters: more annotations than inputs.
    """
    if corruption == "true" and annotated is None:
        return split
    masks = CORRUPTIONS[corruption](split.masks.numpy(), rng)
    if annotated is not None:
        if annotated > len(split):
            raise BadParameters(f"annotated = {annotated}, but there are {len(split)} training inputs: ask for fewer")
        kept = rng.permutation(len(split)) < annotated
        masks = masks & kept.reshape(-1, *[1] * (masks.ndim - 1))
    return replace(split, masks=torch.from_numpy(masks))


def _true(masks: Masks, rng: np.random.Generator) -> Masks:
    return masks


def _wrong(masks: Masks, rng: np.random.Generator) -> Masks:
    """As many pixels, none of them true.

    The mask, rolled by half the width, the height, or both: by the first that takes it where no input has its shortcut
    (a corner square goes to the middle of its border), else by the first that takes it off its own. Where none does,
    as many of the other pixels, at random; all of them, where the mask covers more than half.
    """
    half = [size // 2 for size in _space(masks)]
    shifts = [(half[0],)] if len(half) == 1 else [(0, half[1]), (half[0], 0), (half[0], half[1])]
    wrong, left = np.zeros_like(masks), _any(masks)
    for avoided in (masks.any(axis=0, keepdims=True), masks):
        wrong, left = _roll(masks, shifts, wrong, left, lambda rolled, avoided=avoided: ~_any(rolled & avoided))
    wrong[left] = _scatter(masks[left], ~masks[left], rng)
    return wrong


def _half(masks: Masks, rng: np.random.Generator) -> Masks:
    """Without the first half of its pixels in raster order, rounded down: `incomplete` in Friedrich et al. 2023."""
    rank = _flat(masks).cumsum(axis=1, dtype=np.int32)
    return masks & (rank > rank[:, -1:] // 2).reshape(masks.shape)


def _shifted(masks: Masks, rng: np.random.Generator) -> Masks:
    """Rolled by one pixel: down and right, or only right, or only down; the first that leaves some of it in place.

    A mask that no such roll moves, or none leaves in part, stays as it is.
    """
    shifts = [(1,)] if len(_space(masks)) == 1 else [(1, 1), (0, 1), (1, 0)]
    shifted, _ = _roll(
        masks, shifts, masks.copy(), _any(masks), lambda rolled: _any(rolled & masks) & _any(rolled != masks)
    )
    return shifted


def _dilated(masks: Masks, rng: np.random.Generator) -> Masks:
    """Grown by one pixel on every side, diagonals too; by one column on either side for flat inputs."""
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
    """As many pixels, anywhere."""
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
    left: Bool[np.ndarray, "n"],
    fits: Callable[[Masks], Bool[np.ndarray, "n"]],
) -> tuple[Masks, Bool[np.ndarray, "n"]]:
    """`result` with each mask that is left rolled by the first shift that fits, and which are left after that."""
    for shift in shifts:
        rolled = np.roll(masks, shift, _axes(masks))
        now = left & fits(rolled)
        result[now] = rolled[now]
        left = left & ~now
    return result, left


def _scatter(masks: Masks, allowed: Masks, rng: np.random.Generator) -> Masks:
    """As many of the allowed pixels as each mask has, at random; all of them where there are fewer."""
    if not len(masks):
        return masks
    area = np.minimum(_flat(masks).sum(axis=1), _flat(allowed).sum(axis=1))[:, None]
    keys = np.where(_flat(allowed), rng.random(_flat(masks).shape), 1.0)
    largest = np.take_along_axis(np.sort(keys, axis=1), np.maximum(area - 1, 0), axis=1)
    return ((keys <= largest) & (area > 0)).reshape(masks.shape)
