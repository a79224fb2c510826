from __future__ import annotations

import torch
from linear_network import BATCH, INPUTS, MASKS, NET, STRENGTH, drawn, gradient_at, right_reason
from rrrbench.methods.gradients import masked_input_gradients
from rrrbench.methods.mitigations.expected_gradients import ExpectedGradients
from rrrbench.methods.targets import logit_sum
from small import small_net_and_batch


def test_expected_gradients_by_hand():
    mitigation = ExpectedGradients(references=2)
    batch = drawn(mitigation)
    references, where = batch.draws["references"], batch.draws["fractions"][..., None]
    difference = INPUTS[:, None] - references
    attribution = (difference * gradient_at(references + where * difference)).mean(1)
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
