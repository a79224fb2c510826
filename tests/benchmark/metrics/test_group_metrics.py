"""Accuracies of groups, and graded reliance, on networks and data that are known."""

from dataclasses import replace

import pytest
import torch
from rrrbench.benchmark.metrics import groups, reliance
from rrrbench.benchmark.metrics.evaluated import Evaluated
from rrrbench.benchmark.metrics.evaluating import evaluated
from rrrbench.datasets.base import Split
from rrrbench.datasets.recipe import make
from small import small_dataset
from torch.nn import functional as F


def split(labels, shortcuts):
    n = len(labels)
    return Split(torch.zeros(n, 2), torch.tensor(labels), torch.ones(n, 2).bool(), torch.tensor(shortcuts))


def test_groups_are_weighed_as_in_training():
    """Training: 3 of (0, 0), 1 of (0, 1). Test: (0, 0) half right, (0, 1) all wrong, (1, 1) all right, unseen."""
    train, test = split([0] * 4, [0, 0, 0, 1]), split([0, 0, 0, 1], [0, 0, 1, 1])
    predicted = torch.tensor([[0, 1, 1, 1]])
    assert groups.training_weighted_accuracy(predicted, test, train).tolist() == pytest.approx([3 / 4 * 1 / 2])


def test_a_group_that_the_test_lacks_is_left_out():
    train, test = split([0, 1], [0, 1]), split([0], [0])
    assert groups.training_weighted_accuracy(torch.tensor([[0]]), test, train).tolist() == [1]
    assert groups.training_weighted_accuracy(torch.tensor([[0]]), split([0], [1]), train).isnan().all()


def test_the_gap_of_a_network_that_follows_the_shortcut_and_of_a_blind_network():
    draw = small_dataset(n=60)
    shown, labels = draw.test("random").shortcuts, draw.test("random").labels
    logits = torch.stack([F.one_hot(shown, 3), F.one_hot(labels, 3)]).float()
    found = groups.group_accuracies(Evaluated(draw, {"random": logits}))
    assert found["training_weighted_accuracy"].tolist() == [1, 1]  # in training, every shortcut is the class's
    assert found["shortcut_gap"].tolist() == [-1, 0]


def test_of_several_shortcuts_each_has_its_gap():
    draw = make("planted", 0, planters=["patch", "tint"])
    names = ("aligned", "random", "random_patch", "random_tint")
    logits = {name: F.one_hot(draw.test(name).planted["tint"] % 10, 10).float()[None] for name in names}
    found = groups.group_accuracies(Evaluated(draw, logits))
    assert found["shortcut_gap/patch"].item() == 0
    assert found["shortcut_gap/tint"].item() < -0.9


def test_graded_reliance_by_hand():
    """p_y goes from 0.9 with its own value to 0.6 and 0.1: mean 0.55, most 0.8."""
    valued = torch.tensor([[[[0.9, 0.1]]], [[[0.6, 0.4]]], [[[0.1, 0.9]]]]).double().log()
    mean, worst = reliance.graded_reliance(valued, torch.tensor([0]), torch.tensor([0]))
    assert (mean.item(), worst.item()) == pytest.approx((0.55, 0.8))


@pytest.mark.parametrize("spec", [("decoy", {}), ("planted", {"planters": ["patch", "tint"]})])
def test_inputs_with_a_value_are_the_test_inputs_with_that_value_alone(spec):
    name, parameters = spec
    draw = make(name, 0, **({"base": "digits"} | parameters))
    few = len(draw.with_value(0))
    for value in (0, 3):
        own = draw.test("aligned").rows(slice(0, few))
        shown = draw.with_value(value)
        assert (shown.shortcuts == value).all()
        assert torch.equal(shown.labels, own.labels)
        same = own.shortcuts == value
        assert same.any()
        assert torch.equal(shown.inputs[same], own.inputs[same])
        assert (shown.inputs[~same] != own.inputs[~same]).flatten(1).any(1).all()
    assert draw.without_tests().with_value is None


def test_graded_reliance_of_a_blind_network_is_0_and_of_a_network_that_reads_the_corner_is_not():
    draw = make("decoy", 0, base="digits")
    blind = lambda inputs: inputs.new_zeros(len(inputs), 10)  # noqa: E731
    reads = lambda inputs: inputs.flatten(1).sum(1, keepdim=True) * torch.arange(10)  # noqa: E731
    found = reliance.graded_reliances(
        evaluated([blind, reads], draw, torch.device("cpu"), torch.float32, saliency=False)
    )
    assert found["graded_reliance"][0] == found["graded_reliance_worst"][0] == 0
    assert 0 < found["graded_reliance"][1] <= found["graded_reliance_worst"][1] <= 1
    unknown = replace(draw, with_value=None)
    assert reliance.graded_reliances(evaluated([blind], unknown, torch.device("cpu"), torch.float32)) == {}
