import math

import numpy as np
import pytest
import torch
from rendering import rendered, small
from rrrbench.datasets.base import Split, generator
from rrrbench.datasets.masks import CORRUPTIONS, annotate

ALL = sorted(CORRUPTIONS)


def corrupted(masks, corruption, annotated=None):
    masks = torch.as_tensor(masks)
    zeros = torch.zeros(len(masks), dtype=torch.int64)
    split = Split(torch.zeros(masks.shape, dtype=torch.uint8), zeros, masks, zeros)
    return annotate(split, corruption, annotated, generator(0, "masks")).masks


def area(masks):
    return masks.flatten(1).sum(1)


def rectangle(rows, columns, size=(6, 6)):
    mask = torch.zeros(1, 1, *size, dtype=torch.bool)
    mask[:, :, rows, columns] = True
    return mask


@pytest.mark.parametrize("corruption", ALL)
def test_corruption_by_its_own_definition(recipe, corruption):
    true = rendered(recipe).train.masks
    told = corrupted(true, corruption)
    overlap, size = area(true & told), area(true)
    match corruption:
        case "true":
            assert torch.equal(told, true)
        case "wrong":
            assert (overlap == 0).all()
            assert torch.equal(area(told), size.minimum(true[0].numel() - size))
        case "half":
            assert torch.equal(overlap, area(told))
            assert torch.equal(area(told), size - size // 2)
        case "shifted":
            assert torch.equal(area(told), size)
            assert ((overlap > 0) & (overlap < size)).all()
        case "dilated":
            assert torch.equal(overlap, size)
            assert (area(told) > size).all()
        case "all_ones":
            assert told.all()
        case "random":
            assert torch.equal(area(told), size)
            possible = min(math.comb(true[0].numel(), int(size[0])), 10**9)
            expected = possible * -math.expm1(-len(told) / possible)  # distinct masks among so many draws
            assert len({row.tobytes() for row in told.numpy()}) > 0.9 * expected


@pytest.mark.parametrize("corruption", ALL)
def test_an_empty_mask_stays_empty_except_under_all_ones(corruption):
    masks = torch.cat([rectangle(slice(0, 2), slice(0, 2)), torch.zeros(1, 1, 6, 6, dtype=torch.bool)])
    assert area(corrupted(masks, corruption))[1] == (36 if corruption == "all_ones" else 0)
    nothing = torch.zeros(3, 5, dtype=torch.bool)
    assert area(corrupted(nothing, corruption)).tolist() == [5 if corruption == "all_ones" else 0] * 3


@pytest.mark.parametrize("corruption", ALL)
def test_only_the_annotated_inputs_keep_a_mask(corruption):
    masks = rectangle(slice(0, 2), slice(0, 2)).repeat(50, 1, 1, 1)
    told = corrupted(masks, corruption, annotated=7)
    assert (area(told) > 0).sum() == 7
    assert not corrupted(masks, corruption, annotated=0).any()


def test_annotations_are_taken_from_training_alone_and_test_masks_stay_true():
    true, told = (rendered(small(name="decoy", **extra)) for extra in ({}, {"masks": "all_ones", "annotated": 5}))
    assert (area(told.train.masks) == 784).sum() == 5
    assert told.validation.masks.all()
    assert torch.equal(told.test("aligned").masks, true.test("aligned").masks)
    assert torch.equal(told.train.inputs, true.train.inputs)


def test_wrong_goes_where_no_input_has_its_shortcut():
    """A 4x4 corner of 28: columns 0-3 and 24-27, rolled by 14, are the border's columns 14-17 and 10-13."""
    true = rendered(small(name="decoy")).train.masks
    told = corrupted(true, "wrong")
    assert not (told.any(0) & true.any(0)).any()
    assert told.any(0)[0].nonzero().unique(dim=0).T[1].unique().tolist() == list(range(10, 18))
    assert torch.equal(told.any(3), true.any(3))  # in the same rows


def test_wrong_of_a_half_is_the_other_half():
    true = rendered(small(name="decoy", variant="half")).train.masks
    assert torch.equal(corrupted(true, "wrong"), ~true)


def test_wrong_of_more_than_half_is_all_the_rest():
    true = rectangle(slice(0, 4), slice(0, 6))
    assert torch.equal(corrupted(true, "wrong"), ~true)


def test_wrong_of_what_no_roll_frees_is_scattered_over_the_rest():
    cross = rectangle(slice(0, 1), slice(0, 6)) | rectangle(slice(0, 6), slice(0, 1))
    told = corrupted(cross, "wrong")
    assert not (told & cross).any()
    assert area(told) == area(cross)


def test_half_removes_the_upper_pixels():
    assert torch.equal(corrupted(rectangle(slice(0, 4), slice(1, 5)), "half"), rectangle(slice(2, 4), slice(1, 5)))


def test_dilation_stops_at_the_border():
    assert torch.equal(corrupted(rectangle(slice(0, 2), slice(2, 4)), "dilated"), rectangle(slice(0, 3), slice(1, 5)))
    columns = np.array([[False, True, False, False]])
    assert corrupted(columns, "dilated").tolist() == [[True, True, True, False]]


def test_shifted_is_one_pixel_down_and_right():
    assert torch.equal(corrupted(rectangle(slice(0, 3), slice(0, 3)), "shifted"), rectangle(slice(1, 4), slice(1, 4)))
