from __future__ import annotations

import math

import pytest
import torch
from rrrbench.benchmark.engine.rehearsal import Rehearsal, sample
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets import make
from rrrbench.methods.base import mitigations

TRAINING = Training(epochs=4, batch_size=128)
NETWORK = networks.resolve({"name": "mlp", "hidden": [8]})


@pytest.fixture(scope="module")
def draw():
    return make("decoy", 0, base="digits", correlation=0.9)


@pytest.mark.parametrize("name", ["erm", "jtt", "find_another_explanation", "dfr", "adversarial_debiasing"])
@pytest.mark.slow
def test_every_training_of_a_fit_is_a_stage_with_the_epochs_of_its_runs(draw, name):
    mitigation = mitigations.resolve(name)
    strengths = (0.1, 1.0, 10.0) if mitigation.has_strength else (0.0,)
    rehearsal = Rehearsal(NETWORK, draw, TRAINING, strengths, seeds=2, choices={})
    mitigation.fit(rehearsal)
    runs = 2 * len(strengths)
    expected = {
        "jtt": [2 * 1, runs * 4],  # the first network is the same at every strength, and trained for a fifth
        "find_another_explanation": [2 * 4, runs * 4],
    }
    assert [stage.epochs for stage in rehearsal.stages] == expected.get(name, [runs * 4])
    assert all(0 < stage.seconds < math.inf for stage in rehearsal.stages)


@pytest.mark.long
def test_networks_come_back_as_they_were_initialised(draw):
    rehearsal = Rehearsal(NETWORK, draw, TRAINING, (0.1, 1.0))
    fitted = mitigations.resolve("rrr").fit(rehearsal)
    for name, value in rehearsal.modules[0].named_parameters():
        assert torch.equal(fitted.parameters[name][0, 1], value)


@pytest.mark.slow
def test_the_plan_that_is_found_is_the_plan_of_the_training(draw):
    choices: dict[str, str] = {}
    mitigations.resolve("rrr").fit(Rehearsal(NETWORK, draw, TRAINING, (0.1, 1.0), seeds=1, choices=choices))
    (key,) = choices
    trainer = Trainer(NETWORK, [draw], TRAINING, torch.tensor([[0.1, 1.0]]), choices=choices)
    mitigations.resolve("rrr").fit(trainer)
    assert list(choices) == [key], "no trial is made twice"


def test_a_sample_has_the_same_share_of_every_split(draw):
    small, scale = sample(draw, 128)
    assert len(small.train) == 128
    assert scale == pytest.approx(len(draw.train) / 128)
    assert len(small.test("random")) == round(len(draw.test("random")) / scale)
    assert sample(draw, 10**6)[1] == 1.0
