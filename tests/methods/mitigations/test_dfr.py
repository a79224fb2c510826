from __future__ import annotations

import numpy as np
import pytest
import torch
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.datasets.base import generator
from rrrbench.methods.groups import groups
from rrrbench.methods.last_layer import features_of_run, head_of, held_out, logistic_regression
from rrrbench.methods.mitigations.dfr import DFR, balanced_subset
from small import small_dataset, small_trainer
from torch.nn import functional as F


def trainer(seeds=(0, 1), n: int = 90, **settings) -> Trainer:
    draws = [small_dataset(seed, n=n, correlation=0.5) for seed in seeds]
    return small_trainer((0.0,), draws=draws, **settings)


def of_run(fitted, name: str, row: int = 0) -> torch.Tensor:
    return fitted.parameters[name][row, 0]


@pytest.mark.long
def test_dfrs_head_is_scikit_learns_on_balanced_held_out_inputs():
    trained = trainer()
    fitted = DFR(refits=1).fit(trained)
    for row, draw in enumerate(trained.draws):
        out = held_out(trained, 0.2)[row]
        labels = draw.train.labels[out]
        group = groups(labels, draw.train.shortcuts[out])[0].numpy()
        subset = balanced_subset(group, generator(draw.seed, "dfr"))
        hidden = features_of_run(trained, fitted, row, 0)[out.numpy()]
        model = logistic_regression().fit(hidden[subset], labels.numpy()[subset])
        logits = F.linear(
            torch.from_numpy(hidden), of_run(fitted, "head.weight", row), of_run(fitted, "head.bias", row)
        )
        np.testing.assert_allclose(F.softmax(logits, -1)[:, model.classes_], model.predict_proba(hidden), atol=1e-7)


def test_dfr_averages_the_heads_of_its_refits():
    trained = trainer((0,))
    draw, out = trained.draws[0], held_out(trained, 0.2)[0]
    fitted = DFR(refits=3).fit(trained)
    labels, hidden = draw.train.labels[out].numpy(), features_of_run(trained, fitted, 0, 0)[out.numpy()]
    group, rng = groups(draw.train.labels[out], draw.train.shortcuts[out])[0].numpy(), generator(draw.seed, "dfr")
    subsets = [balanced_subset(group, rng) for _ in range(3)]
    weights = [head_of(logistic_regression().fit(hidden[s], labels[s]), 3)[0] for s in subsets]
    np.testing.assert_allclose(of_run(fitted, "head.weight"), np.mean(weights, axis=0), atol=1e-10)
    assert any(sorted(subsets[0]) != sorted(other) for other in subsets[1:])


def test_a_balanced_subset_has_every_group_as_often_as_the_smallest():
    group = np.array([0] * 10 + [1] * 3 + [2] * 7)
    subset = balanced_subset(group, np.random.default_rng(0))
    assert np.bincount(group[subset]).tolist() == [3, 3, 3]
    assert len(set(subset)) == 9
