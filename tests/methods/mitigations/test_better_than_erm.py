"""On a weak signal beside a planted shortcut: 2 seeds of 90 inputs, 30 epochs, a network of 16 hidden units."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from rrrbench.benchmark.engine import Fitted, Trainer
from rrrbench.methods.base import mitigations
from rrrbench.methods.network import Net
from small import small_dataset, small_trainer

pytestmark = pytest.mark.slow
STRENGTHS = {
    "rrr": 0.1,
    "smooth_rrr": 0.1,
    "cosine_rrr": 1.0,
    "expected_gradients": 0.1,
    "integrated_gradients_penalty": 10.0,
    "rbr": 100.0,
    "avg_ex": 1.0,
    "pgd_ex": 1.0,
    "ibp_ex": 0.1,
    "pgd_ex+rrr": 1.0,
    "ibp_ex+rrr": 0.1,
    "r4": 0.1,
    "rand_r4": 1.0,
    "pgd_r4": 1.0,
}


def trainer(strength: float) -> Trainer:
    draws = [small_dataset(seed, n=90, signal=0.2) for seed in range(2)]
    network = {"name": "mlp", "hidden": [16], "init": "torch"}
    settings = {"epochs": 30, "batch_size": 45, "learning_rate": 0.03}
    return small_trainer((strength,), draws=draws, network=network, dtype=torch.float32, **settings)


def accuracy_on_random_shortcuts(trainer: Trainer, fitted: Fitted) -> float:
    hits = []
    for row, draw in enumerate(trainer.draws):
        net = Net(trainer.modules[row], {name: value[row, 0] for name, value in fitted.parameters.items()})
        batch = draw.test("random").batch()
        hits.append(net(batch.inputs).argmax(-1) == batch.labels)
    return torch.cat(hits).double().mean().item()


@cache
def of_erm() -> float:
    trained = trainer(0.0)
    return accuracy_on_random_shortcuts(trained, mitigations.resolve("erm").fit(trained))


@pytest.mark.parametrize(("name", "strength"), STRENGTHS.items())
def test_masks_make_it_more_accurate_where_the_shortcut_is_random(name, strength):
    trained = trainer(strength)
    accuracy = accuracy_on_random_shortcuts(trained, mitigations.resolve(name).fit(trained))
    assert of_erm() < 0.7
    assert accuracy > of_erm() + 0.1
