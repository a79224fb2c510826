"""Tables with a column for each site."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rendering import rendered, small
from sklearn.datasets import load_breast_cancer, load_wine

SOURCES = {"breast-cancer": load_breast_cancer, "wine": load_wine}


@pytest.fixture(params=SOURCES)
def base(request):
    return request.param


def dataset(base):
    return rendered(small(name="table", base=base))


def test_every_row_of_the_source_is_in_one_split(base):
    draw, source = dataset(base), SOURCES[base]()
    low, high = draw.native_range
    splits = draw.train, draw.validation, draw.test("aligned")
    native = np.concatenate([(low + split.inputs * (high - low)).numpy() for split in splits])
    labels = np.concatenate([split.labels for split in splits])
    columns = source.data.shape[1]
    order, expected = np.lexsort(native[:, :columns].T), np.lexsort(source.data.T)
    np.testing.assert_allclose(native[order, :columns], source.data[expected], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(labels[order], source.target[expected])
    assert [len(split) for split in splits] == {"breast-cancer": [341, 57, 171], "wine": [107, 18, 53]}[base]


def test_the_site_is_the_value(base):
    draw = dataset(base)
    sites = draw.classes
    for name in ("aligned", "random", "conflict", "reversed"):
        split = draw.test(name)
        assert torch.equal(split.inputs[:, -sites:].argmax(1), split.shortcuts)
        assert (split.inputs[:, -sites:].sum(1) == 1).all()
    clean = draw.test("clean")
    assert (clean.inputs[:, -sites:] == np.float32(1 / sites)).all()
    assert not clean.masks.any()


def test_twins_differ_in_their_site_alone(base):
    draw = dataset(base)
    aligned, random = draw.test("aligned"), draw.test("random")
    outside = (aligned.inputs != random.inputs) & ~aligned.masks
    assert not outside.any()
    assert (aligned.masks.expand_as(aligned.inputs) ^ aligned.core.expand_as(aligned.inputs)).all()
