from __future__ import annotations

from dataclasses import replace

import torch
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.oracle_clean import OracleClean
from rrrbench.methods.network import Net
from small import small_dataset, small_trainer


def test_the_oracle_is_erm_on_the_clean_twins():
    draws = [small_dataset(seed) for seed in (0, 1)]
    clean = [replace(draw, train=draw.clean_train()) for draw in draws]
    assert all(
        not draw.train.masks.any() and torch.equal(draw.train.labels, draws[i].train.labels)
        for i, draw in enumerate(clean)
    )
    fitted = OracleClean().fit(trainer := small_trainer((0.0,), draws=draws))
    oracle = fitted.parameters
    for row, draw in enumerate(clean):  # its training inputs are not the dataset's
        net = Net(trainer.modules[row], {name: value[row, 0] for name, value in oracle.items()})
        right = net(draw.train.batch().inputs.double()).argmax(-1) == draw.train.labels
        assert fitted.metrics["accuracy/train"][row, 0] == right.double().mean()
    erm = ERM().fit(small_trainer((0.0,), draws=clean)).parameters
    assert all(torch.equal(oracle[name], erm[name]) for name in erm)
    assert not torch.equal(
        oracle["head.weight"], ERM().fit(small_trainer((0.0,), draws=draws)).parameters["head.weight"]
    )


def test_the_oracle_needs_twins():
    draw, module = small_dataset(), small_trainer().modules[0]
    assert OracleClean().obstacle(draw, module) == ""
    without = replace(draw, clean_train=None)
    assert OracleClean().obstacle(without, module) == "small cannot be rendered without its shortcut"
