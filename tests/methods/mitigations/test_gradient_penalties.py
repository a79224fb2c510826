from __future__ import annotations

import pytest
import torch
from rrrbench.datasets.base import Batch
from rrrbench.methods.gradients import masked_input_gradients
from rrrbench.methods.mitigations.cosine_rrr import CosineRRR
from rrrbench.methods.mitigations.expected_gradients import ExpectedGradients
from rrrbench.methods.mitigations.input_gradient_l2 import InputGradientL2
from rrrbench.methods.mitigations.integrated_gradients_penalty import IntegratedGradientsPenalty
from rrrbench.methods.mitigations.rrr import RRR
from rrrbench.methods.mitigations.smooth_rrr import SmoothRRR
from rrrbench.methods.targets import log_prob_sum, logit_sum
from small import Linear, bound, small_net_and_batch

STRENGTH = torch.tensor(0.7, dtype=torch.float64)
WEIGHT = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
INPUTS = torch.rand(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
MASKS = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], dtype=torch.bool)
LABELS = torch.tensor([0, 3, 1])
BATCH = Batch(INPUTS, LABELS, MASKS, LABELS)
NET = bound(Linear(WEIGHT))


def gradient_at(inputs: torch.Tensor) -> torch.Tensor:
    """d/dx sum_k log p_k of z = W x, by hand."""
    return WEIGHT.sum(0) - 4 * (inputs @ WEIGHT.T).softmax(-1) @ WEIGHT


def right_reason(mitigation, batch=BATCH) -> torch.Tensor:
    return mitigation.terms(NET, batch, STRENGTH).right_reason


def drawn(mitigation, batch=BATCH) -> Batch:
    return mitigation.augment(batch, 4, torch.Generator().manual_seed(2))


def test_the_whole_gradient_is_penalised_whatever_the_mask():
    expected = STRENGTH * gradient_at(INPUTS).square().sum(1).mean()
    torch.testing.assert_close(right_reason(InputGradientL2()), expected)
    torch.testing.assert_close(right_reason(InputGradientL2(), BATCH._replace(touched=torch.tensor([0]))), expected)


def test_smoothing_averages_gradients_before_it_squares_them():
    mitigation = SmoothRRR(sigma=0.5, samples=3)
    batch = drawn(mitigation)
    smooth = gradient_at(INPUTS[:, None] + 0.5 * batch.draws["noise"]).mean(1)
    torch.testing.assert_close(right_reason(mitigation, batch), STRENGTH * (MASKS * smooth).square().sum(1).mean())


def test_smoothing_over_nothing_is_rrr():
    mitigation = SmoothRRR(sigma=1e-9)
    torch.testing.assert_close(right_reason(mitigation, drawn(mitigation)), right_reason(RRR()))


def test_the_cosine_by_hand_and_at_any_scale():
    size = gradient_at(INPUTS).abs()
    cosines = (size * MASKS).sum(1) / size.norm(dim=1) / torch.tensor([2.0, 1.0, 1.0]).sqrt()
    torch.testing.assert_close(right_reason(CosineRRR()), STRENGTH * cosines.mean())
    small = bound(Linear(1e-6 * WEIGHT))  # p is uniform here, so the gradient is 0 but for rounding in float32
    assert torch.isfinite(CosineRRR().terms(small, BATCH, STRENGTH).right_reason)


def test_the_cosine_of_an_image_sums_its_channels_first():
    weight = torch.tensor([[1.0, 0.0, -1.0, 3.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)  # 2 channels of 2 pixels
    masks = torch.tensor([True, False]).view(1, 1, 1, 2)
    batch = Batch(torch.zeros(1, 2, 1, 2, dtype=torch.float64), torch.tensor([0]), masks, torch.tensor([0]))
    logits = torch.tensor([1.0, 0.5], dtype=torch.float64)
    net = bound(Linear(weight))
    net.parameters["head.bias"] = logits  # p is not uniform, and the gradient is c (1, 0, -1, 3): c (0, 3) a pixel
    assert CosineRRR().terms(net, batch, STRENGTH).right_reason == 0
    batch = batch._replace(masks=~masks)
    torch.testing.assert_close(CosineRRR().terms(net, batch, STRENGTH).right_reason, STRENGTH)


def test_integrated_gradients_of_one_step_by_hand():
    attribution = INPUTS * gradient_at(INPUTS / 2)
    expected = STRENGTH * (MASKS * attribution).square().sum(1).mean()
    torch.testing.assert_close(right_reason(IntegratedGradientsPenalty(steps=1)), expected)


def test_integrated_gradients_add_up_to_the_difference_from_black():
    net, batch = small_net_and_batch()
    batch = batch._replace(masks=torch.ones_like(batch.masks))
    points = torch.stack([(j + 0.5) / 500 * batch.inputs for j in range(500)], 1)
    attribution = batch.inputs.flatten(1) * masked_input_gradients(net, batch, points, log_prob_sum).mean(1)
    difference = log_prob_sum(net(batch.inputs), batch) - log_prob_sum(net(torch.zeros_like(batch.inputs)), batch)
    torch.testing.assert_close(attribution.sum(1), difference, rtol=1e-3, atol=1e-5)


def test_expected_gradients_by_hand():
    mitigation = ExpectedGradients(references=2)
    batch = drawn(mitigation)
    references, fractions = batch.draws["references"], batch.draws["fractions"][..., None]
    difference = INPUTS[:, None] - references
    attribution = (difference * gradient_at(references + fractions * difference)).mean(1)
    expected = STRENGTH * (MASKS * attribution).square().sum(1).mean()
    torch.testing.assert_close(right_reason(mitigation, batch), expected)


def test_expected_gradients_add_up_on_a_linear_target():
    batch = drawn(ExpectedGradients(), BATCH._replace(masks=torch.ones_like(MASKS)))
    references = batch.draws["references"]
    slopes = masked_input_gradients(NET, batch, references, logit_sum)
    attribution = ((INPUTS[:, None] - references) * slopes).sum((1, 2))
    torch.testing.assert_close(attribution, (NET(INPUTS) - NET(references[:, 0])).sum(1))


def test_references_are_of_other_classes_and_so_show_another_shortcut():
    _, batch = small_net_and_batch(n=24)
    drawn = ExpectedGradients(references=5).augment(batch, 3, torch.Generator().manual_seed(0))
    same = (drawn.draws["references"].unsqueeze(2) == batch.inputs).flatten(3).all(3)  # (batch, references, batch)
    assert (batch.labels[same.long().argmax(2)] != batch.labels[:, None]).all()


def test_a_batch_of_one_class_has_references_too():
    batch = drawn(ExpectedGradients(), BATCH._replace(labels=torch.zeros(3, dtype=torch.int64)))
    assert batch.draws["references"].shape == (3, 1, 5)


@pytest.mark.parametrize("mitigation", [SmoothRRR(), ExpectedGradients()], ids=lambda m: m.id)
def test_what_is_drawn_depends_on_the_generator_alone_and_keeps_the_dtype(mitigation):
    first, second = (drawn(mitigation).draws for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(value.dtype == torch.float64 for value in first.values())
