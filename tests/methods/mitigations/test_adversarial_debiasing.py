from __future__ import annotations

import numpy as np
import pytest
import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.mitigations.adversarial_debiasing import AdversarialDebiasing, refitted_accuracy
from rrrbench.methods.network import Net
from small import small_net_and_batch, small_trainer
from torch.nn import functional as F

STRENGTH = torch.tensor(0.7, dtype=torch.float64)
ADVERSARY = ("adversary.weight", "adversary.bias")


def net_and_batch() -> tuple[Net, Batch]:
    """A network with an adversary, and 12 inputs, of which two have no shortcut."""
    net, batch = small_net_and_batch({"name": "mlp", "hidden": [16], "init": "torch"}, n=12)
    draw = small_trainer(seeds=(0,)).draws[0]
    own = AdversarialDebiasing().parameters(net.module, draw)
    parameters = {**net.parameters, **{name: value.double().requires_grad_() for name, value in own.items()}}
    return Net(net.module, parameters), batch._replace(
        shortcuts=torch.tensor([-1, -1, *range(3), *range(3), 0, 0, 1, 2])
    )


def adversarys_error(net: Net, batch: Batch) -> torch.Tensor:
    """By hand: the mean over all inputs of -log r_s, with 0 for those that have no shortcut."""
    guesses = net.features(batch.inputs) @ net.parameters[ADVERSARY[0]].T + net.parameters[ADVERSARY[1]]
    log_probs = F.log_softmax(guesses, -1)
    return -sum(log_probs[n, value] for n, value in enumerate(batch.shortcuts.tolist()) if value >= 0) / len(guesses)


def test_the_term_is_the_adversarys_error_and_inputs_without_a_shortcut_count_0():
    net, batch = net_and_batch()
    terms = AdversarialDebiasing().terms(net, batch, STRENGTH)
    torch.testing.assert_close(terms.right_reason, STRENGTH * adversarys_error(net, batch))
    torch.testing.assert_close(terms.right_answer, F.cross_entropy(net(batch.inputs), batch.labels))


def test_the_adversary_descends_and_the_features_ascend():
    net, batch = net_and_batch()
    names = [name for name in net.parameters if name.startswith("features.")]
    parameters = [net.parameters[name] for name in (*ADVERSARY, *names)]
    found = torch.autograd.grad(AdversarialDebiasing().terms(net, batch, STRENGTH).right_reason, parameters)
    plain = torch.autograd.grad(STRENGTH * adversarys_error(net, batch), parameters)
    signs = [1, 1] + [-1] * len(names)
    torch.testing.assert_close(list(found), [sign * part for sign, part in zip(signs, plain, strict=True)])
    assert all(part.abs().max() > 0 for part in found)


def test_the_features_gradient_equals_minus_central_finite_differences():
    net, batch = net_and_batch()
    name = "features.linear0.weight"
    weight = net.parameters[name]
    direction = torch.randn(weight.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (found,) = torch.autograd.grad(AdversarialDebiasing().terms(net, batch, STRENGTH).right_reason, weight)
    up, down = (
        AdversarialDebiasing()
        .terms(Net(net.module, {**net.parameters, name: weight + step * direction}), batch, STRENGTH)
        .right_reason.item()
        for step in (1e-6, -1e-6)
    )
    assert (found * direction).sum().item() == pytest.approx(-(up - down) / 2e-6, rel=1e-6)


def test_every_seed_has_an_adversary_of_its_own():
    trainer = small_trainer(seeds=(0, 1))
    first, second = (
        AdversarialDebiasing().parameters(module, draw)
        for module, draw in zip(trainer.modules, trainer.draws, strict=True)
    )
    assert first[ADVERSARY[0]].shape == (3, 5)
    assert not torch.equal(first[ADVERSARY[0]], second[ADVERSARY[0]])
    again = AdversarialDebiasing().parameters(trainer.modules[0], trainer.draws[0])
    assert torch.equal(first[ADVERSARY[0]], again[ADVERSARY[0]])


def labels_and_shortcuts(n: int = 600) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes; of nine shortcuts in ten the value is the label."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, n)
    shortcuts = np.where(rng.random(n) < 0.9, labels, rng.integers(0, 3, n))
    return torch.from_numpy(labels), torch.from_numpy(shortcuts)


def test_a_refitted_adversary_finds_a_shortcut_that_is_there():
    labels, shortcuts = labels_and_shortcuts()
    hidden = np.eye(3)[shortcuts] + 0.01 * np.random.default_rng(1).normal(size=(600, 3))
    assert refitted_accuracy(hidden, labels, shortcuts) == 1


def test_features_that_know_the_label_alone_leave_it_at_chance():
    """Without weights it would score 0.93: the label is the shortcut nine times in ten and once by luck."""
    labels, shortcuts = labels_and_shortcuts()
    hidden = np.eye(3)[labels] + 0.01 * np.random.default_rng(1).normal(size=(600, 3))
    assert refitted_accuracy(hidden, labels, shortcuts) == pytest.approx(1 / 3, abs=0.1)
    assert (labels == shortcuts).double().mean() > 0.9


def test_inputs_without_a_shortcut_are_not_guessed():
    labels, shortcuts = labels_and_shortcuts()
    hidden = np.eye(3)[shortcuts] + 0.01 * np.random.default_rng(1).normal(size=(600, 3))
    shortcuts[:300] = -1
    assert refitted_accuracy(hidden, labels, shortcuts) == 1


def test_features_that_are_not_finite_have_no_accuracy():
    labels, shortcuts = labels_and_shortcuts()
    assert np.isnan(refitted_accuracy(np.full((600, 3), np.nan), labels, shortcuts))


def test_the_record_gets_one_accuracy_for_each_run():
    fitted = AdversarialDebiasing().fit(small_trainer((0.0, 0.5), seeds=(0, 1, 2), correlation=0.5, epochs=1))
    accuracy = fitted.metrics["adversary_accuracy"]
    assert accuracy.shape == (3, 2)
    assert ((accuracy >= 0) & (accuracy <= 1)).all()
    assert not any(name.startswith("adversary") for name in fitted.parameters)
