"""Training the last layer again on held-out inputs: the parts that dfr, afr and self share."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.methods.last_layer import head_of, held_out, logistic_regression, with_new_heads
from rrrbench.methods.mitigations.adversarial_debiasing import AdversarialDebiasing
from rrrbench.methods.mitigations.afr import AFR
from rrrbench.methods.mitigations.dfr import DFR
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.self import SELF
from small import small_dataset, small_trainer
from torch import nn
from torch.nn import functional as F

RNG = np.random.default_rng(0)
HIDDEN, CLASSES = RNG.normal(loc=5.0, scale=(0.1, 1.0, 30.0), size=(60, 3)), RNG.integers(0, 3, 60)


def trainer(seeds=(0, 1), n: int = 90, **settings) -> Trainer:
    draws = [small_dataset(seed, n=n, correlation=0.5) for seed in seeds]
    return small_trainer((0.0,), draws=draws, **settings)


def of_run(fitted, name: str, row: int = 0) -> torch.Tensor:
    return fitted.parameters[name][row, 0]


def test_a_share_of_the_training_inputs_is_held_out_drawn_by_the_seed():
    out = held_out(trainer((0, 1)), 0.2)
    assert out.sum(1).tolist() == [18, 18]
    assert not torch.equal(out[0], out[1])
    assert torch.equal(held_out(trainer((1,)), 0.2)[0], out[1])


@pytest.mark.parametrize("shown", [(0, 1, 2), (0, 2), (1, 2)], ids=str)
def test_a_head_is_the_regression_with_its_standardisation_folded_in(shown):
    rows = np.isin(CLASSES, shown)
    model = logistic_regression().fit(HIDDEN[rows], CLASSES[rows])
    weight, bias = head_of(model, 3)
    probabilities = F.softmax(torch.from_numpy(HIDDEN @ weight.T + bias), -1).numpy()
    np.testing.assert_allclose(probabilities[:, shown], model.predict_proba(HIDDEN), atol=1e-10)
    assert probabilities.sum(1) == pytest.approx(1)


def test_a_feature_that_never_changes_has_no_weight():
    weight, bias = head_of(logistic_regression().fit(np.c_[HIDDEN, np.full(60, 7.0)], CLASSES), 3)
    assert np.isfinite(weight).all()
    assert np.isfinite(bias).all()
    assert (weight[:, 3] == 0).all()


@pytest.mark.long
@pytest.mark.parametrize("mitigation", [DFR(refits=1), AFR(steps=2), SELF(steps=2)], ids=lambda m: m.name)
def test_the_first_stage_learns_nothing_from_what_is_held_out(mitigation):
    fair = trainer()
    out = held_out(fair, mitigation.share)
    draws = []
    for row, draw in enumerate(fair.draws):
        labels = torch.where(out[row], (draw.train.labels + 1) % 3, draw.train.labels)
        draws.append(replace(draw, train=replace(draw.train, labels=labels)))
    lied_to = small_trainer((0.0,), draws=draws)
    honest, misled = mitigation.fit(fair).parameters, mitigation.fit(lied_to).parameters
    assert all(torch.equal(honest[name], misled[name]) for name in honest if not name.startswith("head."))
    assert not torch.equal(honest["head.weight"], misled["head.weight"])


@pytest.mark.long
@pytest.mark.parametrize("mitigation", [DFR(refits=1), AFR(steps=2)], ids=lambda m: m.name)
def test_the_second_stage_sees_nothing_but_what_is_held_out(mitigation):
    """Given the first stage's features, other labels of the inputs that it kept change no head."""
    heads = []
    for lie in (0, 1):
        fair = trainer()
        fitted = ERM().fit(fair)
        out = held_out(fair, mitigation.share)
        fair.draws = [
            replace(
                draw,
                train=replace(
                    draw.train, labels=torch.where(out[row], draw.train.labels, (draw.train.labels + lie) % 3)
                ),
            )
            for row, draw in enumerate(fair.draws)
        ]
        fair.train = lambda mitigation, given, fitted=fitted: fitted
        heads.append(mitigation.fit(fair).parameters["head.weight"])
    assert torch.equal(*heads)
    assert not torch.equal(heads[0], fitted.parameters["head.weight"])


def test_a_run_whose_features_are_not_finite_is_diverged_and_its_neighbour_is_not():
    trained = trainer()
    fitted = ERM().fit(trained)
    first = next(name for name in fitted.parameters if name.startswith("features."))
    fitted.parameters[first][1] = torch.nan
    renewed = with_new_heads(trained, fitted, lambda row, column, hidden: (np.zeros((3, 5)), np.zeros(3)))
    assert renewed.diverged.tolist() == [[False], [True]]
    assert of_run(renewed, "head.bias", 1).isnan().all()
    assert (of_run(renewed, "head.weight", 0) == 0).all()


def network(**frozen: bool) -> nn.Module:
    """The smallest network, with some of its last layer's parts frozen."""
    module = small_trainer().modules[0]
    for name in frozen:
        getattr(module.head, name).requires_grad_(False)
    return module


def tied() -> nn.Module:
    """A network whose last layer shares its weight with the layer before."""
    module = network()
    module.features = nn.Sequential(OrderedDict(flatten=nn.Flatten(), first=nn.Linear(36, 3), last=nn.Linear(3, 3)))
    module.head = nn.Linear(3, 3)
    module.head.weight = module.features.last.weight
    return module


OBSTACLES = {
    "frozen": (lambda: network(weight=True, bias=True), "head.weight and head.bias of the last layer requires no grad"),
    "frozen weight": (lambda: network(weight=True), "head.weight of the last layer.*would replace it: train the last"),
    "frozen bias": (lambda: network(bias=True), "head.bias of the last layer requires no gradient"),
    "tied": (tied, "head.weight is features.last.weight too.*parameters of its own"),
}


@pytest.mark.parametrize("mitigation", [DFR(), AFR()], ids=lambda m: m.name)
@pytest.mark.parametrize("kind", OBSTACLES)
def test_a_last_layer_that_may_not_change_is_an_obstacle(mitigation, kind):
    made, reason = OBSTACLES[kind]
    draw = small_dataset(correlation=0.5)
    assert re.search(reason, mitigation.obstacle(draw, made()))
    assert not mitigation.obstacle(draw, network())
    assert not AdversarialDebiasing().obstacle(draw, made()), "it trains the network's own last layer"


def test_other_frozen_layers_are_no_obstacle_and_stay():
    module = network()
    module.features.requires_grad_(False)
    assert not DFR().obstacle(small_dataset(correlation=0.5), module)
