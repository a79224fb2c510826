"""Accuracy and reliance on datasets small enough to count on one's fingers."""

import math
from dataclasses import replace

import pytest
import torch
from rrrbench.benchmark.metrics import accuracy, reliance
from rrrbench.benchmark.metrics.base import metrics
from rrrbench.benchmark.metrics.evaluated import Evaluated
from rrrbench.datasets.base import ShortcutDataset, Split
from torch.nn import functional as F

LABELS = [0, 0, 1, 1, 2]
SHORTCUTS = {"aligned": [0, 0, 1, 1, 0], "random": [0, 1, 1, 0, 1], "conflict": [1, 1, 0, 0, 1], "clean": [-1] * 5}


SHIFT = (math.e - 1) / (math.e + 2)
"""Of the label's probability, between one-hot logits at the label and at another of three classes."""


def split(shortcuts, masked=True):
    n = len(shortcuts)
    masks = torch.full((n, 2), masked)
    return Split(torch.zeros(n, 2), torch.tensor(LABELS[:n], dtype=torch.long), masks, torch.tensor(shortcuts).long())


def dataset(**environments):
    """Three classes that carry two values: classes 0 and 2 carry value 0."""
    empty = split([])
    return ShortcutDataset("tiny", 0, torch.tensor([0, 1, 0]), empty, empty, environments)


TINY = dataset(**{name: split(shortcuts) for name, shortcuts in SHORTCUTS.items()})


def measured(module, predictions, of=TINY):
    """What the metrics of a module say of networks whose logits are one-hot at these predictions."""
    given = {name: torch.tensor(values).long() for name, values in predictions.items()}
    logits = {name: F.one_hot(torch.atleast_2d(values), 3).float() for name, values in given.items()}
    one = all(values.dim() == 1 for values in given.values())
    evaluated, found = Evaluated(of, logits), {}
    for measure in dict.fromkeys(known.measure for known in metrics if known.measure is not None):
        if measure.__module__ == module.__name__:
            found |= measure(evaluated)
    return {name: value.item() if one else value.tolist() for name, value in found.items()}


def test_accuracy_is_the_share_that_is_right():
    assert accuracy.accuracy(torch.tensor([0, 1, 1, 1, 0]), torch.tensor(LABELS)).item() == pytest.approx(3 / 5)


def test_a_stack_gives_one_number_per_run():
    predictions = torch.tensor([[0, 0, 1, 1, 2], [0, 1, 1, 1, 2], [2, 2, 2, 2, 2]])
    assert accuracy.accuracy(predictions, torch.tensor(LABELS)).tolist() == pytest.approx([1, 0.8, 0.2])
    stacked = accuracy.class_accuracy(predictions.reshape(3, 1, 5), torch.tensor(LABELS), 3)
    assert accuracy.worst_class_accuracy(stacked).tolist() == [[1.0], [0.5], [0.0]]


def test_a_class_without_inputs_is_not_the_worst():
    labels = torch.tensor([0, 0, 0, 1])
    by_class = accuracy.class_accuracy(torch.tensor([0, 0, 1, 1]), labels, 5)
    assert accuracy.worst_class_accuracy(by_class).item() == pytest.approx(2 / 3)


def test_accuracy_is_measured_where_there_are_predictions():
    found = measured(accuracy, {"aligned": [0, 0, 1, 1, 2], "conflict": [0, 1, 1, 1, 2]})
    assert found == {
        "accuracy/aligned": 1.0,
        "worst_class_accuracy/aligned": 1.0,
        "macro_accuracy/aligned": 1.0,
        "worst_group_accuracy/aligned": 1.0,
        **{f"class_accuracy/aligned/{k}": 1.0 for k in range(3)},
        "accuracy/conflict": 0.8,
        "worst_class_accuracy/conflict": 0.5,
        "worst_group_accuracy/conflict": 0.5,
        "macro_accuracy/conflict": pytest.approx((1 / 2 + 1 + 1) / 3),
        **{f"class_accuracy/conflict/{k}": value for k, value in enumerate([0.5, 1.0, 1.0])},
    }


def test_the_worst_group_is_a_label_with_a_shortcut_value():
    """Groups (0, 0): 1 of 2 right, (0, 1): 2 of 2, (1, 0): 0 of 1; the last input shows no value and is in no group."""
    labels, shortcuts = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 0, -1])
    predictions = torch.tensor([[0, 1, 0, 0, 0, 0], [0, 1, 0, 0, 1, 0]])
    assert accuracy.worst_group_accuracy(predictions, labels, shortcuts).tolist() == [0.0, 0.5]
    assert accuracy.worst_group_accuracy(predictions, labels, torch.full((6,), -1)).isnan().all()


def test_a_probability_shifts_though_no_prediction_flips():
    one, other = torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    labels, counted = torch.tensor([0, 0]), torch.tensor([True, False])
    expected = torch.tensor([3.0, 1.0], dtype=torch.float64).sigmoid()
    shift = reliance.probability_shift(one, other, labels, counted)
    assert shift.item() == pytest.approx((expected[0] - expected[1]).item(), abs=1e-7)


def test_an_environment_that_the_dataset_lacks_is_an_error():
    with pytest.raises(KeyError, match="no 'reversed' environment"):
        measured(accuracy, {"reversed": [0] * 5})


def test_flip_rate_counts_the_twins_whose_shortcut_was_redrawn():
    """Inputs 1, 3 and 4 show another value; of them 1 and 4 flip. Input 0 flips with the same value: not counted."""
    found = measured(reliance, {"aligned": [0, 0, 1, 1, 2], "random": [2, 1, 1, 1, 0]})
    assert found == {"flip_rate": pytest.approx(2 / 3), "probability_shift": pytest.approx(2 / 3 * SHIFT)}


def test_flip_rate_leaves_out_twins_without_a_mask():
    masked, bare = split(SHORTCUTS["aligned"]), split(SHORTCUTS["random"], masked=False)
    masked.masks[1] = False  # input 1 has a mask in neither twin; 3 and 4 remain, 4 flips
    found = measured(
        reliance, {"aligned": [0, 0, 1, 1, 2], "random": [0, 1, 1, 1, 0]}, dataset(aligned=masked, random=bare)
    )
    assert found == {"flip_rate": 0.5, "probability_shift": pytest.approx(SHIFT / 2)}


def test_reliance_on_one_of_two_planters_counts_the_twins_in_which_it_alone_is_redrawn():
    """The patch is redrawn in inputs 1, 3 and 4, of which 1 flips; the tint in 0 and 1, of which 0 flips."""
    aligned, patch, tint = SHORTCUTS["aligned"], SHORTCUTS["random"], [1, 1, 1, 1, 0]

    def planted(patch, tint):
        values = {"patch": torch.tensor(patch), "tint": torch.tensor(tint)}
        return replace(split(patch), planted=values)

    of = dataset(
        aligned=planted(aligned, aligned),
        random=planted(patch, tint),
        random_patch=planted(patch, aligned),
        random_tint=planted(aligned, tint),
    )
    predictions = {"aligned": LABELS, "random": [1, 1, 1, 1, 0]}
    alone = {"random_patch": [0, 1, 1, 1, 2], "random_tint": [1, 0, 1, 0, 2]}
    found = measured(reliance, predictions | alone, of)
    assert found["flip_rate"] == pytest.approx(3 / 4)  # all but input 2 are redrawn, and all but 3 of these flip
    assert found["flip_rate/patch"] == pytest.approx(1 / 3)
    assert found["flip_rate/tint"] == pytest.approx(1 / 2)
    assert measured(accuracy, alone, of)["accuracy/random_tint"] == pytest.approx(3 / 5)


def test_follow_rate_asks_for_the_value_that_the_predicted_class_carries():
    """Shown 1, 1, 0, 0, 1. Predictions 1, 0, 2, 1, 2 carry 1, 0, 0, 1, 0: inputs 0 and 2 follow, 2 by class 2."""
    assert measured(reliance, {"conflict": [1, 0, 2, 1, 2]}) == {"follow_rate": pytest.approx(2 / 5)}


def test_a_right_answer_never_follows_a_conflicting_shortcut():
    assert measured(reliance, {"conflict": LABELS}) == {"follow_rate": 0.0}


def test_follow_rate_leaves_out_inputs_without_a_shortcut():
    found = measured(reliance, {"conflict": [1, 1, 1]}, dataset(conflict=split([1, -1, 0])))
    assert found == {"follow_rate": 0.5}


def test_gap_is_what_the_conflict_costs():
    found = measured(reliance, {"aligned": [[0, 0, 1, 1, 2]] * 2, "conflict": [[0, 0, 1, 1, 0], [1, 1, 0, 0, 1]]})
    assert found["aligned_conflict_gap"] == pytest.approx([1 / 5, 1])
    assert found["follow_rate"] == pytest.approx([0, 1])


@pytest.mark.parametrize("predicted", [[], ["aligned"], ["random"], ["clean"], ["aligned", "clean"]])
def test_what_cannot_be_measured_is_absent(predicted):
    assert measured(reliance, dict.fromkeys(predicted, LABELS)) == {}


def test_environments_that_redraw_nothing_measure_nothing():
    same = dataset(aligned=split(SHORTCUTS["aligned"]), random=split(SHORTCUTS["aligned"]), conflict=split([-1] * 5))
    found = measured(reliance, {"aligned": LABELS, "random": LABELS, "conflict": LABELS}, same)
    assert found == {"aligned_conflict_gap": 0.0}


def test_an_environment_without_inputs_measures_nothing():
    empty = dataset(aligned=split([]), random=split([]), conflict=split([]))
    nothing = {"aligned": [], "random": [], "conflict": []}
    assert measured(accuracy, nothing, empty) == measured(reliance, nothing, empty) == {}


def test_flips_are_the_first_twins_that_the_flip_rate_counts():
    from small import small_dataset

    dataset = small_dataset()
    labels = dataset.test("aligned").labels
    changed = reliance.redrawn(dataset.test("aligned"), dataset.test("random")).nonzero()[:, 0]
    kept = (~reliance.redrawn(dataset.test("aligned"), dataset.test("random"))).nonzero()[:, 0]
    predictions = {"aligned": labels.expand(2, -1), "random": labels.expand(2, -1).clone()}
    for i in (kept[0], changed[1], changed[3]):
        predictions["random"][1, i] = (labels[i] + 1) % 3
    unmoved, moved = reliance.flips(predictions, dataset, 1)
    assert unmoved == []
    assert moved == [(int(changed[1]), int(labels[changed[1]]), int(labels[changed[1]] + 1) % 3)]
    assert reliance.flips({"aligned": labels[None]}, dataset, 1) == []
