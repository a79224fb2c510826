"""Every id that can occur in a record is described."""

from dataclasses import replace

import pytest
import torch
from rrrbench.benchmark.metrics.base import Metric, metric, metrics
from rrrbench.benchmark.metrics.evaluated import Evaluated
from rrrbench.benchmark.metrics.faithfulness import SUBJECTS
from rrrbench.datasets.base import ENVIRONMENTS, MADE_UP, ShortcutDataset, Split
from rrrbench.datasets.registry import UnknownName
from rrrbench.methods.explainers.base import explainers

ELSEWHERE = [
    *(
        "seconds_over_erm",
        "regret",
        "right_answer",
        "right_reason",
        "mask_effect",
        "gain",
        "strength",
        "adversary_accuracy",
    ),
    "accuracy/validation_swap",
    *(f"faithful/{name}" for name in SUBJECTS),  # of images with core masks: test_faithfulness.py
]


def evaluated():
    shown, masks = {"aligned": 0, "random": 1, "conflict": 1, "reversed": 1, "clean": -1}, torch.tensor([[True, False]])
    splits = {e: Split(torch.zeros(1, 2), torch.tensor([0]), masks, torch.tensor([shown[e]])) for e in ENVIRONMENTS}
    splits |= dict.fromkeys([*MADE_UP, "random_patch"], splits["random"])
    splits = {name: replace(split, planted={"patch": split.shortcuts}) for name, split in splits.items()}
    train, valued = splits["aligned"], lambda value: splits["random"]
    dataset = ShortcutDataset("tiny", 0, torch.arange(2), train, train, splits, with_value=valued)
    logits = dict.fromkeys([*splits, "train", "validation"], torch.tensor([[[1.0, 0.0]]]))
    attributed = torch.tensor([[[0.5, 1.0]]])
    attributions = dict.fromkeys([*explainers.names(), "integrated_gradients[n_steps=20]"], attributed)
    return Evaluated(
        dataset,
        logits,
        {"train": splits["aligned"], "validation": splits["aligned"]},
        explained=splits["random"].batch(),
        attributions=attributions,
        valued=dict.fromkeys("01", torch.tensor([[[1.0, 0.0]]])),
        untrained=attributions,
        liveness=dict.fromkeys(["start", "middle", "end"], torch.ones(1)),
    )


def emitted():
    return list(metrics.measure(evaluated()))


@pytest.mark.parametrize(
    ("id", "message"),
    [
        (
            "flip_rate",
            r"own measures 'flip_rate'.* 'flip_rate', which rrrbench\.\S+reliance\S+ measures.*\(own_score\)",
        ),
        ("accuracy/random", r"own measures 'accuracy/random'.* 'accuracy/\{environment\}', which rrrbench\."),
        ("regret", "'regret'.*, which no function measures: .* leave the number out, or give it an id of its own"),
        ("flp_rate", r"'flp_rate', which no metric is called: add Metric\('flp_rate', \.\.\.\)"),
    ],
)
def test_a_function_measures_only_metrics_that_it_is_registered_for(id, message):
    numbers = {"own_score": 1.0}
    with metrics.temporary():

        @metrics.measured_by(Metric("own_score", "higher", 0, 1, "none", "A score."))
        def own(evaluated):
            return numbers

        assert metrics.measure(evaluated())["own_score"] == 1.0
        numbers[id] = 0.0
        with pytest.raises(ValueError, match=message):
            metrics.measure(evaluated())


def test_every_emitted_id_has_exactly_one_description():
    ids = [*emitted(), *ELSEWHERE]
    for emission in ids:
        assert [known for known in metrics if known.names(emission)] == [metric(emission)]
    assert {metric(emission).id for emission in ids} == set(metrics.names())


def test_a_place_is_resolved_to_its_template():
    assert metric("accuracy/random").id == "accuracy/{environment}"
    assert metric("accuracy/random_tint").id == "accuracy/{environment}"
    assert metric("flip_rate/tint").id == "flip_rate/{planter}"
    assert metric("flip_rate/somebodys_own").id == "flip_rate/{planter}"
    for twin in ("removed", "exchanged", "removed_and_added"):
        assert metric(f"flip_rate/{twin}").id == f"flip_rate/{twin}"
    assert metric("mass_abs/integrated_gradients[n_steps=20]").id == "mass_abs/{explainer}"
    assert metric("accuracy/validation").id == "accuracy/validation"


@pytest.mark.parametrize("id", ["acuracy/random", "accuracy/nowhere", "mass_abs", "mass_abs/", "liveness/late", ""])
def test_an_unknown_id_is_an_error(id):
    with pytest.raises(UnknownName, match="no metric is called"):
        metric(id)


def test_the_error_names_the_nearest():
    with pytest.raises(UnknownName, match="flip_rate"):
        metric("fliprate")


def test_directions():
    assert {known.better for known in metrics if "accuracy/" in known.id} == {"higher"}
    assert metric("worst_class_accuracy/clean").better == "higher"
    lower = "flip_rate follow_rate aligned_conflict_gap seconds regret right_reason wrong_reason_pos/x mass_abs/x"
    assert {metric(name).better for name in lower.split()} == {"lower"}
    assert {metric(name).better for name in ("empty_masks", "liveness/start", "unattributed/x")} == {"neither"}


def test_descriptions_are_whole():
    for known in metrics:
        assert known.low < known.high
        assert known.chance
        assert known.meaning.endswith(".")
