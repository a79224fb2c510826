"""Twins that are made up from masks: what they change, what they leave, and who has one."""

import numpy as np
import pytest
import torch
from rrrbench.datasets.base import Split
from rrrbench.datasets.fill import harmonic_fill
from rrrbench.datasets.made_up import bounding_boxes, grown, made_up, moved_region
from rrrbench.datasets.on_disk import OnDisk
from rrrbench.datasets.recipe import make


def split_of(images, masks, labels, known=None, shortcuts=None):
    n = len(images)
    return Split(
        torch.as_tensor(images),
        torch.as_tensor(labels),
        torch.as_tensor(masks),
        torch.full((n,), -1) if shortcuts is None else torch.as_tensor(shortcuts),
        known=None if known is None else torch.as_tensor(known),
    )


@pytest.fixture
def four():
    """Grey images 6x6 of classes 0 and 1, each with a 2x2 square of its own grey, in another corner."""
    images, masks = torch.full((4, 3, 6, 6), 10, dtype=torch.uint8), torch.zeros(4, 1, 6, 6, dtype=torch.bool)
    for i, (y, x) in enumerate([(0, 0), (0, 4), (4, 0), (4, 4)]):
        images[i, :, y : y + 2, x : x + 2] = 100 + i
        masks[i, :, y : y + 2, x : x + 2] = True
    return split_of(images, masks, [0, 0, 1, 1])


def test_an_exchanged_twin_has_a_region_of_another_class_in_its_own_mask(four):
    twin = made_up(four, 0)["exchanged"]
    inputs, masks = twin.inputs[:], twin.masks[:]
    assert torch.equal(masks, four.masks)
    assert torch.equal(inputs[~masks.expand_as(inputs)], four.inputs[~masks.expand_as(inputs)])
    for i in range(4):
        (grey,) = inputs[i][four.masks[i].expand(3, 6, 6)].unique().tolist()
        assert (grey - 100) // 2 != i // 2  # a square of the other class
        assert twin.shortcuts[i] == 1 - i // 2


def test_the_control_changes_as_many_pixels_beside_the_mask(four):
    twin = made_up(four, 0)["elsewhere"]
    inputs, masks = twin.inputs[:], twin.masks[:]
    assert not (masks & four.masks).any()
    assert torch.equal(masks.sum((1, 2, 3)), four.masks.sum((1, 2, 3)))
    changed = (inputs != four.inputs).any(1, keepdim=True)
    assert not (changed & ~masks).any()
    assert torch.equal(twin.shortcuts, four.shortcuts)


def test_a_seed_decides_the_donors(four):
    many = split_of(four.inputs.repeat(20, 1, 1, 1), four.masks.repeat(20, 1, 1, 1), [0, 0, 1, 1] * 20)
    first, again, other = (made_up(many, seed)["exchanged"] for seed in (0, 0, 1))
    assert torch.equal(first.inputs[:], again.inputs[:])
    assert first.inputs.digest == again.inputs.digest != other.inputs.digest
    assert not torch.equal(first.inputs[:], other.inputs[:])


def test_rows_read_alone_are_the_rows_of_the_whole(four):
    for twin in made_up(four, 0).values():
        for rows in (torch.tensor([3, 1]), torch.tensor([2])):
            assert torch.equal(twin.inputs[rows], twin.inputs[:][rows])
            assert torch.equal(twin.masks[rows], twin.masks[:][rows])


def test_inputs_of_which_nothing_is_known_have_no_twin_and_give_none(four):
    known = torch.tensor([True, False, True, True])
    masks = four.masks & known[:, None, None, None]
    twins = made_up(split_of(four.inputs, masks, four.labels, known), 0)
    assert set(twins) == {"exchanged", "elsewhere"}  # nobody has said that an input has no shortcut
    twin = twins["exchanged"]
    assert twin.shown.tolist() == known.tolist()
    assert torch.equal(twin.inputs[:][1], four.inputs[1])
    assert (twin.inputs[:][2:] != 101).all()


def test_where_the_shortcut_may_be_absent_it_is_removed_and_added(four):
    shown = torch.tensor([True, True, False, False])
    images = torch.where(shown[:, None, None, None], four.inputs, torch.tensor(10, dtype=torch.uint8))
    twins = made_up(split_of(images, four.masks & shown[:, None, None, None], four.labels), 0)
    assert set(twins) == {"removed", "added"}  # all donors are of one class
    removed, added = twins["removed"], twins["added"]
    assert removed.shown.tolist() == shown.tolist()
    assert (removed.inputs[:] == 10).all()  # the border's grey
    assert removed.shortcuts.tolist() == [-1] * 4
    assert added.shown.tolist() == (~shown).tolist()
    assert torch.equal(added.inputs[:][:2], images[:2])
    greys = added.inputs[:][2:].flatten(1).amax(1).tolist()
    assert set(greys) <= {100, 101}
    for i in (2, 3):
        donor = int(added.inputs[:][i].max()) - 100
        assert torch.equal(added.masks[:][i], four.masks[donor])
        assert added.shortcuts[i] == 0


def test_donors_have_another_shortcut_value_where_values_are_known(four):
    labels, values = torch.tensor([0, 0, 1, 1] * 20), torch.tensor([0, 1, 0, 1] * 20)
    split = split_of(four.inputs.repeat(20, 1, 1, 1), four.masks.repeat(20, 1, 1, 1), labels, shortcuts=values)
    twin = made_up(split, 0, valued=True)["exchanged"]
    assert torch.equal(twin.shortcuts, 1 - values)
    inside = twin.inputs[:][split.masks.expand_as(split.inputs)].view(80, -1)[:, 0] - 100
    assert torch.equal(inside % 2, 1 - values)  # squares 0 and 2 have value 0
    assert torch.equal(inside // 2, 1 - labels)


def test_no_masks_make_no_twins(four):
    nothing = torch.zeros_like(four.masks)
    assert made_up(split_of(four.inputs, nothing, four.labels, torch.zeros(4, dtype=torch.bool)), 0) == {}
    assert made_up(split_of(four.inputs, nothing, four.labels), 0) == {}


def test_a_region_is_resized_into_the_bounding_box():
    donor, image = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    donor[0, :2, :2] = 0.5
    own, other = torch.zeros(8, 8, dtype=torch.bool), torch.zeros(8, 8, dtype=torch.bool)
    other[:2, :2], own[3:8, 4:7] = True, True
    twin = moved_region(image, own, donor, other)
    assert torch.equal(twin[0] == 0.5, own)


def test_what_is_round_the_donors_shortcut_is_not_moved_with_it():
    """Of a donor's disc, its own pixels alone fill a square."""
    y, x = torch.meshgrid(torch.arange(9), torch.arange(9), indexing="ij")
    disc = (y - 4) ** 2 + (x - 4) ** 2 <= 9
    donor = torch.where(disc, 200, 33).to(torch.uint8)[None]
    square = torch.zeros(9, 9, dtype=torch.bool)
    square[1:8, 1:8] = True
    twin = moved_region(torch.zeros(1, 9, 9, dtype=torch.uint8), square, donor, disc)
    assert torch.equal(twin[0] == 200, square)


def test_bounding_boxes_are_those_of_each_mask():
    masks = torch.zeros(3, 5, 7, dtype=torch.bool)
    masks[0, 1, 2], masks[0, 3, 4], masks[1] = True, True, True
    assert bounding_boxes(masks).tolist() == [[1, 2, 4, 5], [0, 0, 5, 7], [0, 0, 0, 0]]


def test_grown_masks_are_wider_on_every_side():
    masks = torch.zeros(1, 1, 9, 9, dtype=torch.bool)
    masks[0, 0, 4, 4] = True
    wider = grown(split_of(torch.zeros(1, 1, 9, 9), masks, [0]), 2)
    assert bounding_boxes(wider.masks[:][:, 0]).tolist() == [[2, 2, 7, 7]]
    assert wider.masks[:].sum() == 25


def test_a_ramp_is_filled_as_a_ramp():
    """Linear values solve Laplace's equation, so a hole in a ramp is filled exactly."""
    ramp = np.add.outer(np.arange(9.0), 2 * np.arange(9.0))[None]
    mask = np.zeros((9, 9), dtype=bool)
    mask[3:6, 2:7] = True
    holed = np.where(mask, 1e6, ramp)
    assert np.allclose(harmonic_fill(holed, mask), ramp)


def test_a_hole_at_the_border_takes_what_lies_beside_it():
    image, mask = np.full((2, 4, 4), 7.0), np.zeros((4, 4), dtype=bool)
    mask[:2, :2] = True
    assert np.allclose(harmonic_fill(np.where(mask, 0, image), mask), 7)
    assert np.allclose(harmonic_fill(image, np.ones((4, 4), dtype=bool)), 7)


def test_twins_of_a_dataset_of_ours_are_its_own_twins_up_to_the_draw():
    """Squares of Decoy-MNIST are constant: an exchange moves another class's shade into the place, as the rule does."""
    draw = make("decoy", 0, base="digits")
    aligned = draw.test("aligned")
    twin = made_up(aligned, 0)["exchanged"]
    few = slice(0, 50)
    inside = twin.inputs[few][aligned.masks[few]].view(50, -1)
    assert (inside == inside[:, :1]).all()
    assert torch.equal(inside[:, 0].long(), 255 - 25 * twin.shortcuts[few])
    assert (twin.shortcuts != aligned.labels).all()


@pytest.mark.long
def test_few_large_masks_are_read_at_once():
    """Of 200 photos of 224 x 224, 83: 2**22 pixels."""
    asked = []

    def read(rows):
        asked.append(len(rows))
        masks = torch.zeros(len(rows), 1, 224, 224, dtype=torch.bool)
        masks[:, :, :9, :9] = True
        return masks

    photos = OnDisk((200, 3, 224, 224), torch.uint8, lambda rows: torch.zeros(len(rows), 3, 224, 224).byte(), "photos")
    masks = OnDisk((200, 1, 224, 224), torch.bool, read, "masks")
    observed = Split(photos, torch.arange(200) % 2, masks, torch.full((200,), -1))
    for split in (observed, grown(observed, 2)):
        assert split.shown.all()
        assert "exchanged" in made_up(split, 0)
    assert max(asked) == 2**22 // 224**2
