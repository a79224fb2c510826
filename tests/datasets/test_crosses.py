"""The base `crosses` and the planter `tag` are Viviano et al.'s `synth_hard`, bit for bit."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from rrrbench.datasets.crosses import OF_A_CLASS, draw_crosses
from rrrbench.datasets.planter import Canvas
from rrrbench.datasets.planters.tag import Tag
from rrrbench.datasets.recipe import datasets
from rrrbench.datasets.registry import BadParameters

STORED = {
    1: ("39c42517e46a8b615f90fb305b951bf77f9b345b3034215427a41121894386b3",
        "5175191862956c69ff4627bb1cde79d461c2ea822426430c7202fcf5328d25d5"),
    2: ("357b6e00f7bb4859c4fec4d6abed26f3be057dec8b95c3c8c51e9b11ce9f36fb",
        "243cae3196272e4542ce3f3d3f872483972eb1605f5e80199d06f3ea01b9a625"),
    3: ("46d3dbde04b8df19a662a7f7c42f0a102d63485a7b1dfff6b145f617edf225e2",
        "f5eb52738e23545564c346e90f8b653564483f9dc0924b2104c9c0f7063f6d2a"),
}  # fmt: skip
"""SHA-256 of images and masks as the authors store them, uint8 of 0 and 1, by the seed of the set."""


@pytest.fixture(scope="module")
def draw():
    return datasets.resolve({"name": "planted", "base": "crosses", "planters": ["tag"], "validation": 524}).make(0)


@pytest.mark.parametrize("seed", STORED)
def test_images_and_masks_are_the_authors(seed):
    crosses, labels = draw_crosses(seed)
    images = np.where(crosses, 255, 0).astype(np.uint8)[:, None]
    tagged, _ = Tag().paint(Canvas(images, None, labels, 2, np.random.default_rng(0), "aligned"))
    assert (
        tuple(hashlib.sha256(part.astype(np.uint8)).hexdigest() for part in (tagged[:, 0] // 255, crosses))
        == STORED[seed]
    )


def test_five_hundred_train_and_the_authors_test_set_is_whole(draw):
    assert (len(draw.train), len(draw.validation)) == (500, 524)
    for environment, own in (("aligned", False), ("reversed", True)):
        split = draw.test(environment)
        assert split.labels.bincount().tolist() == [OF_A_CLASS, OF_A_CLASS]
        assert torch.equal(split.shortcuts != split.labels, torch.full((2 * OF_A_CLASS,), own))


def test_reversed_is_the_mirrored_tag_and_nothing_else(draw):
    aligned, reverse, clean = (draw.test(name).inputs for name in ("aligned", "reversed", "clean"))
    tags = (aligned != clean) | (reverse != clean)
    assert set(tags.any(0).nonzero()[:, 1].tolist()) == {23, 24}
    assert set(tags.any(0).nonzero()[:, 2].tolist()) == {3, 4, 5, 22, 23, 24}
    alone = clean[:, :, 23:25].flatten(1).amax(1) == 0  # no cross there
    assert torch.equal(reverse[alone, :, 23:25], aligned[alone, :, 23:25].flip(-1))


def test_the_core_is_the_crosses(draw):
    clean = draw.test("clean")
    assert torch.equal(clean.core, clean.inputs > 0)
    aligned = draw.test("aligned")
    assert torch.equal(aligned.core, clean.core & ~aligned.masks)
    areas = clean.core.flatten(1).sum(1)
    assert areas[clean.labels == 0].unique().tolist() == [5, 9]
    assert areas[clean.labels == 1].min() >= 8
    assert areas[clean.labels == 1].max() <= 18


def test_no_two_values_share_a_place():
    images = np.zeros((20, 1, 28, 28), np.uint8)
    painted, masks = Tag().paint(Canvas(images, None, np.arange(20), 20, np.random.default_rng(0), "random"))
    assert len({image.tobytes() for image in painted}) == 20
    assert (painted > 0).sum((1, 2, 3)).tolist() == [6] * 20
    assert masks[0].sum() == 2 * 22


@pytest.mark.parametrize(
    ("side", "classes", "message"), [(8, 4, "4 places do not fit into images of 8x8"), (28, 21, "it shows 20 values")]
)
def test_places_that_do_not_fit_are_refused(npz, side, classes, message):
    base = npz(side=side, classes=classes, name=f"of{classes}")
    with pytest.raises(BadParameters, match=message):
        datasets.resolve({"name": "planted", "base": base, "planters": ["tag"]}).make(0)
