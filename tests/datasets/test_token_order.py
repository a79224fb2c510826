"""Sequences whose class is the order of two tokens."""

from __future__ import annotations

import torch
from rendering import rendered, small


def dataset(**parameters):
    return rendered(small(name="token-order", **parameters))


def tokens(split):
    return split.inputs[:, 0].argmax(1)


def place_of(split, token):
    """Where a token is, of sequences that have it once."""
    there = tokens(split) == token
    assert (there.sum(1) == 1).all()
    return there.int().argmax(1)


def test_every_place_has_one_token():
    for split in (dataset().train, dataset().test("random")):
        assert (split.inputs == 255).sum((1, 2)).eq(1).all()
        assert set(split.inputs.unique().tolist()) == {0, 255}


def test_the_class_is_the_order_of_the_two_tokens():
    for split in (dataset().train, *dataset().environments.values()):
        assert torch.equal((place_of(split, 3) < place_of(split, 4)).long(), split.labels)


def test_the_marker_is_the_value_and_its_place_the_mask():
    for name, split in dataset().environments.items():
        if name == "clean":
            assert (tokens(split) == 2).sum(1).eq(1).all()
            assert not split.masks.any()
            continue
        markers = (tokens(split) <= 2).long()
        assert markers.sum(1).eq(1).all()
        at = markers.argmax(1)
        assert torch.equal(tokens(split)[torch.arange(len(split)), at], split.shortcuts)
        assert torch.equal(split.masks[:, 0, :3].all(1), markers.bool())
        assert not split.masks[:, 0, 3:].any()
        assert torch.equal(split.masks[:, 0].any(1), markers.bool())


def test_the_core_is_where_the_two_tokens_are():
    split = dataset().train
    pair = (tokens(split) == 3) | (tokens(split) == 4)
    assert torch.equal(split.core[:, 0, 3:5].all(1), pair)
    assert split.core.flatten(1).sum(1).eq(4).all()


def test_twins_differ_in_the_marker_alone():
    aligned, random = dataset().test("aligned"), dataset().test("random")
    assert not ((aligned.inputs != random.inputs) & ~aligned.masks).any()
    assert torch.equal(aligned.masks, random.masks)


def test_nothing_else_tells_the_class():
    """No token tells the class by being there: both classes have tokens 3 and 4 once."""
    split = dataset(train_inputs=4000).train
    present = split.inputs[:, 0].eq(255).any(2).float()  # (n, vocabulary)
    difference = present[split.labels == 0].mean(0) - present[split.labels == 1].mean(0)
    assert difference[3:5].eq(0).all()
    assert difference[5:].abs().max() < 0.06  # 4 standard deviations of a difference of two shares of 2,000
