"""What holds for every registered recipe, a newcomer's included."""

import pytest
import torch
from rendering import VARIANTS, assert_share, rendered, small
from rrrbench.benchmark.conformance import dataset_laws

# How each digest begins, as first made: a change means a new `version` of the recipe.
GOLDEN = {
    "colored-patch-digits": "a0dc2fe4c5fa3508",
    "decoy-digits": "35a6fcdc2f6e217f",
    "iris-cancer": "8c7f84506940d963",
    "toy-colors[test_inputs=300,train_inputs=400]": "613d29f3b8364b53",
    "decoy-digits[variant=cdep]": "6765d2ddfd704244",
    "decoy-digits[correlation=0.5,variant=half]": "3ce4d4037ef9e6f7",
    "colored-patch-digits[colors=3,correlation=0.9,opacity=0.4,position=random]": "46e293e5904bfa5c",
    "toy-colors[shortcut=top_middle,test_inputs=300,train_inputs=400]": "e8def60c4ca457bb",
}


@pytest.mark.parametrize("law", dataset_laws.laws().values(), ids=dataset_laws.laws())
def test_it_keeps_the_laws(recipe, law):
    law(recipe)


def test_every_twin_of_almost_every_input_differs(recipe):
    dataset = rendered(recipe)
    aligned = dataset.test("aligned")
    changed = torch.stack([twin.inputs != aligned.inputs for twin in dataset.environments.values()]).any(0)
    assert (changed.flatten(1).any(1) | (aligned.shortcuts < 0)).float().mean() > 0.9


def test_the_digest_is_the_same_on_every_machine():
    digests = {(recipe := small(**spec)).id: rendered(recipe).digest()[:16] for spec in VARIANTS}
    assert digests.items() >= GOLDEN.items()


def test_shortcuts_fit_their_class_as_often_as_they_should(recipe):
    dataset = rendered(recipe)
    own, values = dataset.class_shortcuts, int(dataset.class_shortcuts.max()) + 1
    for environment, split in dataset.environments.items():
        says, labels = split.shortcuts, split.labels
        match environment:
            case "random":
                # fits its own class by chance: 1 / values, within 4 standard deviations of a binomial
                assert_share(says == own[labels], 1 / values)
            case "aligned":
                correlation = getattr(recipe, "correlation", 1.0)
                assert_share(says == own[labels], correlation + (1 - correlation) / values)


def test_training_and_validation_are_aligned(recipe):
    dataset = rendered(recipe)
    correlation = getattr(recipe, "correlation", 1.0)
    values = int(dataset.class_shortcuts.max()) + 1
    for split in (dataset.train, dataset.validation):
        own = dataset.class_shortcuts[split.labels]
        assert_share(split.shortcuts == own, correlation + (1 - correlation) / values)


def test_every_input_has_a_mask(recipe):
    dataset = rendered(recipe)
    for split in (dataset.train, dataset.validation, dataset.test("aligned")):
        assert split.masks.flatten(1).any(1).all()


def test_the_id_names_what_differs_from_the_defaults():
    assert small(name="decoy", base="mnist", variant="cdep").id == "decoy-mnist[variant=cdep]"
    assert small(name="decoy", base="npz:some/where/hands.npz").id == "decoy-npz:hands"
    assert small(name="colored-patch", correlation=0.9, size=4).id == "colored-patch-digits[correlation=0.9,size=4]"
    assert rendered(small(name="decoy")).id == "decoy-digits"
