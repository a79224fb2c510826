from __future__ import annotations

import numpy as np
import torch
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.p_clarc import PClArC, projected
from rrrbench.methods.network import Net
from rrrbench.methods.shortcut_directions import directions, paired_features, projection
from small import small_trainer

COINS = torch.Generator().manual_seed(0)
WEIGHT, BIAS, HIDDEN, MEAN, V = (
    torch.randn(*s, dtype=torch.float64, generator=COINS) for s in ((3, 5), (3,), (7, 5), (5,), (1, 5))
)
V /= V.norm()


def test_of_a_single_direction_it_is_the_papers_projection():
    """h' = h + (m . v - h . v) v at test time, and the new layer on h."""
    weight, bias = projected(WEIGHT, BIAS, projection(V, 1), MEAN)
    moved = HIDDEN + (MEAN @ V[0] - HIDDEN @ V[0])[:, None] * V
    np.testing.assert_allclose(HIDDEN.numpy() @ weight.T + bias, (moved @ WEIGHT.T + BIAS).numpy(), atol=1e-13)


def test_what_moves_along_the_direction_changes_no_logit():
    weight, _ = projected(WEIGHT, BIAS, projection(V, 1), MEAN)
    assert np.abs(weight @ V[0].numpy()).max() < 1e-14


def test_without_directions_the_layer_is_what_it_was():
    weight, bias = projected(WEIGHT, BIAS, torch.zeros(5, 5, dtype=torch.float64), MEAN)
    assert (weight == WEIGHT.numpy()).all()
    assert (bias == BIAS.numpy()).all()


def test_the_logits_of_every_input_lose_what_the_mean_pair_differs_by():
    trainer = small_trainer((0.0,), seeds=(0,))
    fitted, erm = PClArC().fit(trainer), ERM().fit(trainer)
    draw = trainer.draws[0]
    with_it, without_it = paired_features(trainer, erm, 0, 0)
    onto = projection(directions(with_it - without_it, draw.train.labels, 3), 1)
    old, new = (
        Net(trainer.modules[0], {name: value[0, 0] for name, value in of.parameters.items()}) for of in (erm, fitted)
    )
    expected = old.head(with_it - (with_it - without_it.mean(0)) @ onto)
    torch.testing.assert_close(new.head(with_it), expected)
    assert all(
        torch.equal(fitted.parameters[name], value) for name, value in erm.parameters.items() if "head" not in name
    )
