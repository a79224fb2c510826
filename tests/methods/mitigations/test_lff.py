from __future__ import annotations

import pytest
import torch
from rrrbench.methods.mitigations.lff import BIASED, LfF, generalised_cross_entropy, relative_difficulty
from rrrbench.methods.network import Net
from small import small_trainer
from torch.nn import functional as F

STRENGTH = torch.tensor(0.0, dtype=torch.float64)


def net_and_batch():
    trainer = small_trainer(seeds=(0,), correlation=0.5)
    draw, module = trainer.draws[0], trainer.modules[0]
    own = {name: value.double().requires_grad_() for name, value in LfF().parameters(module, draw).items()}
    batch = draw.train.batch()
    return Net(module, {**dict(module.named_parameters()), **own}), batch._replace(inputs=batch.inputs.double())


def errors(net, batch, prefix=""):
    own = {name: net.parameters[prefix + name] for name, _ in net.module.named_parameters()}
    return F.cross_entropy(Net(net.module, own)(batch.inputs), batch.labels, reduction="none")


def test_both_losses_written_out():
    net, batch = net_and_batch()
    error, biased = errors(net, batch), errors(net, batch, BIASED)
    b = (-biased).exp()
    expected = (biased / (biased + error) * error).mean() + ((1 - b**0.7) / 0.7).mean()
    torch.testing.assert_close(LfF().terms(net, batch, STRENGTH).right_answer, expected, rtol=1e-6, atol=0)


def test_the_gradients_of_the_two_networks_do_not_meet():
    net, batch = net_and_batch()
    total = LfF().terms(net, batch, STRENGTH).right_answer
    error, biased = errors(net, batch), errors(net, batch, BIASED)
    weights = (biased / (biased + error)).detach()
    for name in ("head.weight", "head.bias"):
        own, others = torch.autograd.grad(
            total, [net.parameters[name], net.parameters[BIASED + name]], retain_graph=True
        )
        (expected,) = torch.autograd.grad((weights * error).mean(), net.parameters[name], retain_graph=True)
        torch.testing.assert_close(own, expected, rtol=1e-6, atol=1e-12)
        focus = (-biased).exp().detach() ** 0.7  # times the cross-entropy's gradient
        (expected,) = torch.autograd.grad((focus * biased).mean(), net.parameters[BIASED + name], retain_graph=True)
        torch.testing.assert_close(others, expected)


def test_near_0_the_generalised_cross_entropy_is_the_cross_entropy_and_at_1_the_missing_probability():
    error = torch.tensor([0.0, 0.3, 4.0, 60.0], dtype=torch.float64)
    torch.testing.assert_close(generalised_cross_entropy(error, 1e-9), error, rtol=1e-6, atol=0)
    torch.testing.assert_close(generalised_cross_entropy(error, 1.0), 1 - (-error).exp())


def test_weights_are_large_where_the_biased_network_alone_fails():
    biased, error = torch.tensor([3.0, 0.1, 1.0, 0.0]), torch.tensor([0.1, 3.0, 1.0, 0.0])
    weights = relative_difficulty(biased, error)
    assert weights.tolist() == pytest.approx([3 / 3.1, 0.1 / 3.1, 0.5, 0.0])


def test_the_second_network_begins_with_the_same_numbers_in_another_order():
    module, draw = small_trainer(seeds=(0,)).modules[0], small_trainer(seeds=(0,)).draws[0]
    own = LfF().parameters(module, draw)
    for name, value in module.named_parameters():
        assert own[BIASED + name].shape == value.shape
        assert torch.equal(own[BIASED + name].flatten().sort().values, value.flatten().sort().values)
    assert not torch.equal(own[BIASED + "head.weight"], module.head.weight)


def test_the_second_network_is_dropped():
    fitted = LfF().fit(small_trainer((0.0,), seeds=(0,), correlation=0.5))
    assert not any(name.startswith(BIASED) for name in fitted.parameters)
