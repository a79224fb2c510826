"""What holds for every registered recipe, a newcomer's included."""

from dataclasses import replace

import pytest
import torch
from rendering import VARIANTS, assert_share, rendered, small
from rrrbench.benchmark.conformance import dataset_laws
from rrrbench.datasets.recipe import parsed

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
    "table": "07a04f111571e592",
    "token-order[test_inputs=300,train_inputs=400]": "5f563dd46053ad88",
    "planted-digits": "72015ff5317927b6",
    "planted-digits[planters=background+overlay(told=False)]": "63f1a2ec712d373a",
    "planted-digits[core_contrast=0.5,core_noise=0.2,planters=tint+patch]": "cd8fb598219db646",
}


# Of what the variants leave out: other parameters, masks as told, and training images without their shortcut.
MORE_GOLDEN = [
    ("decoy-digits", "3d70fcb8c0a52214", "1cb637dc6f2ba07a"),
    ("decoy-digits[variant=faint]", "97fc51b8320898ed", "7ff53514d3ea5f67"),
    ("decoy-digits[variant=cdep]", "2e536f57aa5e5890", "3c57a2d844e3f3d6"),
    ("decoy-digits[variant=half]", "31d613eda91404be", "d8a5b2a60f8c9e52"),
    ("decoy-digits[correlation=0.95,validation=50]", "14ec0159e01bd8f6", "28125dfc5558cb4c"),
    ("decoy-digits[annotated=100,masks=wrong]", "87462ef8dbb1fd23", "66548ddc4d05dd95"),
    ("colored-patch-digits", "7794bc396d13660c", "78ffe5b3f2007a33"),
    ("colored-patch-digits[colors=2,opacity=0.3,position=random,size=9]", "9c11d1c38913fb8b", "b04b1405f1928729"),
    ("toy-colors[shortcut=both,test_inputs=300,train_inputs=400]", "2ee027c446be1732", ""),
    ("planted-digits[planters=stroke+wave]", "4bb6343bf3edd24e", "301264d51d6cb2d6"),
    ("planted-digits[planters=half+patch]", "6444676a5f65efcf", "160f8dea949ae596"),
    ("planted-digits[planters=overlay(shape=ruler)]", "fc63cce12e0b74de", "d75c665e8f3868c1"),
    ("planted-digits[planters=overlay(shape=stripes)]", "9d42892cbe4c9160", "59af4bf459b1c150"),
    ("planted-digits[planters=overlay(shape=watermark)]", "68e0ab0a6c4627d9", "b7f73d6634104004"),
    ("planted-digits[planters=overlay(shape=plaster)]", "1287203bab139aa1", "c06a15410532b2c7"),
    ("table", "b745964eb9793019", "aef5da192b65def0"),
    ("table[base=wine,correlation=0.9]", "c21fb66cc3a9548e", "5a770c01fe650b7d"),
    ("token-order[length=10,test_inputs=300,train_inputs=400]", "9f44181f1d068c5a", "263e90bfb0695806"),
    ("iris-cancer[scale=all]", "9f25cd7513a0f85b", "99ff7ba53e2e41f6"),
]


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


@pytest.mark.parametrize(("id", "digest", "clean"), MORE_GOLDEN)
def test_no_pixel_changes(id, digest, clean):
    draw = parsed(id).make(1)
    assert draw.digest()[:16] == digest
    if draw.clean_train is None:
        assert not clean
    else:
        assert replace(draw, train=draw.clean_train(), environments={}).digest()[:16] == clean


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
