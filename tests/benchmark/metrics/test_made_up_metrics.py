"""Reliance on made-up twins: the numbers of networks that are known by heart, cautions, refusals."""

from dataclasses import replace

import pytest
import torch
from rrrbench.benchmark.metrics.accuracy import environment_accuracies
from rrrbench.benchmark.metrics.base import metric
from rrrbench.benchmark.metrics.evaluating import evaluated
from rrrbench.benchmark.metrics.made_up import cautions, following_on_twins, reliance_on_twins, require_twins
from rrrbench.datasets.base import ShortcutDataset, Split
from rrrbench.datasets.made_up import made_up
from torch import nn

CPU, FLOAT = torch.device("cpu"), torch.float32


class Reads(nn.Module):
    """Predicts the class that one pixel names, grey 0.25 for class 0 and 0.75 for class 1."""

    def __init__(self, row: int) -> None:
        super().__init__()
        self.row = row

    def forward(self, inputs):
        says = 20 * (inputs[:, 0, self.row, 0] - 0.5)
        return torch.stack([-says, says], 1)


READS_SHORTCUT, READS_OBJECT = Reads(0), Reads(7)


def photos(n=400, shown=None, known=None, agree=1.0):
    """The shortcut is the upper left 2x2 pixels, the object the lowest row; both name the class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 2
    inputs = torch.full((n, 3, 8, 8), 0.5)
    inputs[:, :, 7] = (labels / 2 + 0.25)[:, None, None]
    value = torch.where(torch.rand(n, generator=generator) < agree, labels, 1 - labels)
    shown = torch.ones(n, dtype=torch.bool) if shown is None else shown
    masks = torch.zeros(n, 1, 8, 8, dtype=torch.bool)
    masks[:, :, :2, :2] = shown[:, None, None, None]
    inputs = torch.where(masks, (value / 2 + 0.25)[:, None, None, None], inputs)
    split = Split(inputs, labels, masks, torch.full((n,), -1), known=known)
    return ShortcutDataset("photos", 0, torch.arange(2), split, split, {"observed": split, **made_up(split, 0)})


def measured(network, draw):
    on = evaluated([network], draw, CPU, FLOAT, names=list(draw.environments))
    values = {**reliance_on_twins(on), **following_on_twins(on), **environment_accuracies(on)}
    return {name: float(value) for name, value in values.items()}


@pytest.mark.long
def test_a_network_that_reads_the_shortcut_flips_follows_and_fails():
    values = measured(READS_SHORTCUT, photos())
    assert values["accuracy/observed"] == 1
    assert values["accuracy/exchanged"] == 0
    assert values["flip_rate/exchanged"] == values["follow_rate/exchanged"] == 1
    assert values["probability_shift/exchanged"] > 0.9
    assert values["flip_rate/elsewhere"] == 0


@pytest.mark.long
def test_a_network_that_reads_the_object_does_none_of_it():
    values = measured(READS_OBJECT, photos())
    assert values["accuracy/observed"] == values["accuracy/exchanged"] == 1
    assert values["flip_rate/exchanged"] == values["follow_rate/exchanged"] == 0
    assert values["probability_shift/exchanged"] == 0


def test_inputs_without_a_mask_are_not_counted():
    """A quarter of the inputs has a mask: the rest, without a twin, would hide three flips of four."""
    shown = torch.arange(400) % 8 < 2
    values = measured(READS_SHORTCUT, photos(shown=shown, known=shown))
    assert values["flip_rate/exchanged"] == 1
    assert values["accuracy/exchanged"] == 0
    assert values["class_accuracy/exchanged/0"] == 0


def test_presence_is_measured_by_removing_and_adding():
    class SeesSomething(nn.Module):
        def forward(self, inputs):
            says = 20 * ((inputs[:, 0, 0, 0] - 0.5).abs() - 0.1)
            return torch.stack([-says, says], 1)

    draw = photos(shown=torch.arange(400) % 2 == 1)  # class 1 alone has the shortcut
    values = measured(SeesSomething(), draw)
    assert "flip_rate/exchanged" not in values
    assert values["flip_rate/removed"] == values["flip_rate/added"] == values["flip_rate/removed_and_added"] == 1
    assert values["follow_rate/added"] == 1
    assert values["accuracy/removed"] == values["accuracy/added"] == 0
    blind = measured(READS_OBJECT, draw)
    assert blind["flip_rate/removed_and_added"] == 0
    assert blind["accuracy/removed"] == 1


@pytest.mark.long
def test_every_id_names_the_twin_it_was_measured_on():
    twins = {"observed", "exchanged", "elsewhere"}
    for name in measured(READS_OBJECT, photos()):
        assert twins & set(name.split("/")), name
        if not name.endswith("observed") and "accuracy" not in name:
            assert "made-up" in metric(name).meaning


@pytest.mark.long
def test_two_hundred_good_twins_need_no_caution():
    draw = photos()
    assert cautions(draw, measured(READS_SHORTCUT, draw)) == []


def test_few_twins_and_large_masks_are_cautioned():
    draw = photos(n=100)
    (few,) = cautions(draw, {})
    assert few.startswith("exchanged: only 100 twins")
    observed = draw.test("observed")
    large = replace(observed, masks=torch.ones(100, 1, 8, 8, dtype=torch.bool))
    draw = replace(draw, environments={"observed": large, **made_up(large, 0)})
    assert any(text.startswith("masks cover 100% of an input") for text in cautions(draw, {}))


@pytest.mark.long
def test_masks_that_some_classes_have_more_often_are_cautioned():
    labels = torch.arange(800) % 2
    shown = (labels == 0) | (torch.arange(800) % 4 == 1)
    unsaid = photos(n=800, shown=shown, known=shown)
    (text,) = cautions(unsaid, {})
    assert text.startswith("50% to 100% of the inputs of a class have masks: exchange cannot see")
    assert "which of the 200 inputs" in text
    assert cautions(photos(n=1600, shown=shown.repeat(2)), {}) == []  # empty masks have said it


@pytest.mark.parametrize(
    ("exchanged", "elsewhere", "cautioned"),
    [(0.5, 0.3, True), (0.5, 0.2, False), (0.05, 0.06, False), (0.06, 0.06, True)],
)
def test_a_control_that_flips_as_the_shortcut_does_is_cautioned(exchanged, elsewhere, cautioned):
    numbers = {"flip_rate/exchanged": exchanged, "flip_rate/elsewhere": elsewhere}
    said = cautions(photos(), numbers)
    assert [text.partition(":")[0] for text in said] == ["any change does it"] * cautioned


@pytest.mark.parametrize(
    ("exchanged", "elsewhere", "cautioned"), [(0.6, 0.1, True), (0.54, 0.1, False), (0.6, 0.2, False)]
)
def test_flips_that_rise_with_wider_masks_are_cautioned(exchanged, elsewhere, cautioned):
    numbers = {"flip_rate/exchanged": 0.5, "flip_rate/elsewhere": 0.1}
    wider = {"flip_rate/exchanged": exchanged, "flip_rate/elsewhere": elsewhere}
    said = cautions(photos(), numbers, wider)
    assert [text.partition(":")[0] for text in said] == ["masks may be too small"] * cautioned


@pytest.mark.parametrize(
    ("shown", "known", "why"),
    [
        (torch.zeros(400, dtype=torch.bool), torch.zeros(400, dtype=torch.bool), "no test input has a mask"),
        (torch.zeros(400, dtype=torch.bool), None, "every mask of the test inputs is empty"),
        (torch.arange(400) % 2 == 1, torch.arange(400) % 2 == 1, "all of class 1"),
    ],
)
def test_where_no_twin_can_be_made_up_it_is_refused(shown, known, why):
    with pytest.raises(ValueError, match=f"photos: reliance on the shortcut cannot be measured: .*{why}"):
        require_twins(photos(shown=shown, known=known))


def test_where_a_twin_can_be_made_up_it_is_not_refused():
    require_twins(photos())
    require_twins(photos(shown=torch.arange(400) % 2 == 1))
