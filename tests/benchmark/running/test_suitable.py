"""What fits no run of a sweep is one error before anything is trained, with network, dataset and the way out."""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

import numpy as np
import pytest
from rrrbench.benchmark.networks.base import NetworkRecipe, networks
from rrrbench.benchmark.running.executors import Executor
from rrrbench.benchmark.suite.loading import parse_suite
from rrrbench.datasets.sources import MissingData
from tiny import tiny_suite
from torch import nn

pytestmark = pytest.mark.usefixtures("shapes_unchecked")


class Untouched(Executor):
    name: ClassVar[str] = "untouched"

    def results(self, tasks, settings, progress):
        for task in tasks:
            pytest.fail(f"trained {task.stack.label}")
        yield from ()


def flat(*sizes: int) -> tuple[OrderedDict[str, nn.Module], nn.Module]:
    inputs, hidden, outputs = sizes
    return OrderedDict(flatten=nn.Flatten(), dense=nn.Linear(inputs, hidden)), nn.Linear(hidden, outputs)


class Picky(nn.Module):
    def forward(self, hidden):
        raise ValueError("odd sides only")


class Asserting(nn.Module):
    def forward(self, hidden):
        assert hidden.shape[-1] == 5


class Looking(nn.Module):
    def forward(self, hidden):
        return {}[len(hidden)]


MADE = {
    "of another side": lambda features, classes: flat(36, 4, classes),
    "of ten classes": lambda features, classes: flat(784, 4, 10),
    "of sizes below zero": lambda features, classes: (
        OrderedDict(conv=nn.Conv2d(1, features[1] - 100, 3)),
        nn.Flatten(),
    ),
    "a division by zero": lambda features, classes: flat(784 // (features[0] - 1), 4, classes),
    "a table of sizes": lambda features, classes: flat({32: 1024}[features[1]], 4, classes),
    "too few axes": lambda features, classes: flat(features[3], 4, classes),
    "no pair": lambda features, classes: nn.Linear(784, classes),
    "a layer that refuses": lambda features, classes: (OrderedDict(a=Picky()), nn.Linear(4, classes)),
    "a layer that asserts": lambda features, classes: (OrderedDict(a=Asserting()), nn.Linear(4, classes)),
    "a layer that looks up": lambda features, classes: (OrderedDict(a=Looking()), nn.Linear(4, classes)),
    "a maximum over nothing": lambda features, classes: (OrderedDict(a=nn.MaxPool2d(40)), nn.Linear(4, classes)),
}


def registered(made) -> None:
    @networks.register
    class Own(NetworkRecipe):
        name: ClassVar[str] = "own"

        def layers(self, features, classes):
            return made(features, classes)


@pytest.fixture
def small_images(tmp_path):
    images = np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8)
    np.savez(tmp_path / "s.npz", x_train=images, x_test=images, y_train=np.arange(40) % 3, y_test=np.arange(40) % 3)
    return f"npz:{tmp_path / 's.npz'}"


SUITABLE = {"dataset": {"name": "decoy", "base": "digits"}, "network": "lenet", "training": {"batch_size": 32}}


def nothing_trained(session, suite, message: str) -> None:
    prepared = session(suite, executor=Untouched())
    with pytest.raises(ValueError, match=message):
        prepared.run()
    assert not prepared.store.finished(suite.keys())
    assert not list(prepared.store.home.glob("*/*/*.json"))


@pytest.mark.parametrize(
    ("network", "dataset", "message"),
    [
        ("lenet", {"name": "iris-cancer"}, r"lenet cannot be built for iris-cancer, whose inputs are \(34,\).*the mlp"),
        ("resnet18", {"name": "iris-cancer"}, r"resnet18 cannot be built for iris-cancer.*use the mlp"),
        (
            "lenet",
            {"name": "toy-colors", "train_inputs": 99},
            r"lenet .* toy-colors.*\(3, 5, 5\), of 2 classes.*the mlp",
        ),
        ("resnet18", {"name": "toy-colors", "train_inputs": 99}, "resnet18 cannot be built for toy-colors"),
        ("lenet", {"name": "decoy", "base": "8x8"}, r"lenet .* decoy-npz:s, whose inputs are \(1, 8, 8\).*16 pixels"),
        ("resnet18", {"name": "colored-patch", "base": "8x8"}, r"colored-patch-npz:s, whose inputs are \(3, 8, 8\)"),
    ],
)
def test_a_network_that_does_not_fit_the_images_is_one_error_before_training(
    session, small_images, network, dataset, message
):
    dataset = {**dataset, "base": small_images} if dataset.get("base") == "8x8" else dataset
    training = {"batch_size": 8, "epochs": 1}
    suite = tiny_suite(network=network, dataset=dataset, training=training)
    nothing_trained(session, suite, message)


@pytest.mark.parametrize("kind", MADE)
def test_a_network_of_ones_own_that_does_not_fit_is_named(session, small_images, kind):
    with networks.temporary():
        registered(MADE[kind])
        dataset = {"name": "decoy", "base": small_images}
        suite = tiny_suite(network="own", dataset=dataset, training={"batch_size": 8, "epochs": 1})
        nothing_trained(session, suite, r"^network own .*(decoy-npz:s|logits \(3, 3\))")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"batch_size": 2000}}, "batch_size = 2000 is larger than the training data of decoy-digits"),
        ({"controls": [5000]}, "annotated = 5000, but there are 1168 training inputs: ask for fewer"),
        ({"dataset": {"name": "decoy", "validation": 1297}}, "validation = 1297 leaves nothing of the 1297"),
        ({"dataset": {"name": "colored-patch", "size": 29}}, "29x29 pixels do not fit into images of 28x28: lower"),
        ({"dataset": {"name": "colored-patch", "colors": 11}}, "11 values for 10 classes: ask for 10 or fewer"),
        ({"network": {"name": "lenet"}, "dataset": "iris-cancer"}, "lenet cannot be built for iris-cancer"),
    ],
)
def test_a_later_sweep_that_cannot_be_trained_stops_the_first(session, changes, message):
    rows = [{"mitigation": "erm"}, {"mitigation": "rrr", "strengths": [1.0]}]
    sweeps = [{**SUITABLE, "mitigations": rows}, {**SUITABLE, **changes, "mitigations": rows}]
    nothing_trained(session, parse_suite({"name": "two", "seeds": [0], "sweeps": sweeps}, "two.toml"), message)


def test_a_network_that_does_not_fit_letters_is_one_error_too(session):
    with networks.temporary():
        registered(lambda features, classes: flat(784, 4, classes))
        counterfactuals = [{"network": "own", "explainers": ["dummy"]}]
        suite = parse_suite({"name": "letters", "seeds": [0, 1], "counterfactuals": counterfactuals}, "letters.toml")
        nothing_trained(session, suite, r"network own does not fit glyphs.*\(1, 24, 24\)")


def test_data_that_are_elsewhere_are_left_to_the_workers(session, monkeypatch, tmp_path):
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path))
    asked = []

    class Elsewhere(Untouched):
        elsewhere: ClassVar[bool] = True

        def results(self, tasks, settings, progress):
            asked.extend(task.stack.label for task in tasks)
            yield from ()

    suite = tiny_suite(dataset={"name": "decoy", "base": "npz:elsewhere.npz"})
    session(suite, executor=Elsewhere()).run()
    assert set(asked) == {"erm", "rrr"}


def test_data_that_are_missing_are_one_error_before_anything_is_trained(session, monkeypatch, tmp_path):
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path))
    there = tiny_suite().sweeps[0]
    sweeps = [there, *tiny_suite(dataset={"name": "decoy", "base": "npz:elsewhere.npz"}).sweeps]
    suite = tiny_suite().model_copy(update={"sweeps": tuple(sweeps)})
    with pytest.raises(MissingData, match=r"decoy-npz:elsewhere: npz:elsewhere\.npz is missing: looked for"):
        session(suite, executor=Untouched()).run()
