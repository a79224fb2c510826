from __future__ import annotations

import torch
from linear_network import BATCH, INPUTS, MASKS, NET, STRENGTH
from rrrbench.methods.mitigations.actdiff_adversary import NAME, ActDiffAdversary, guess
from rrrbench.methods.network import Net
from small import small_dataset
from torch.nn import functional as F

COINS = torch.Generator().manual_seed(0)
CHANGED = torch.where(MASKS, torch.rand(3, 5, dtype=torch.float64, generator=COINS), INPUTS)
OWN = {
    name: value.double().requires_grad_()
    for name, value in ActDiffAdversary(width=7).parameters(NET.module, small_dataset()).items()
}
WITH_OWN = Net(NET.module, {**NET.parameters, **OWN})


def right_reason(inputs=INPUTS, changed=CHANGED) -> torch.Tensor:
    batch = BATCH._replace(inputs=inputs, draws={"changed": changed})
    return ActDiffAdversary(width=7).terms(WITH_OWN, batch, STRENGTH).right_reason


def errors(inputs, changed) -> torch.Tensor:
    """The adversary's binary cross-entropy, written out; an input without a mask counts 0."""
    own, others = (guess(WITH_OWN, hidden).sigmoid() for hidden in (inputs, changed))
    return STRENGTH * ((-others.log() - (1 - own).log()) * torch.tensor([1, 1, 0])).mean()


def test_the_term_is_the_adversarys_error():
    torch.testing.assert_close(right_reason(), errors(INPUTS, CHANGED))


def test_the_adversary_descends_its_error_and_features_ascend_it():
    inputs, changed = INPUTS.clone().requires_grad_(), CHANGED.clone().requires_grad_()
    of = [*OWN.values(), inputs, changed]
    found = torch.autograd.grad(right_reason(inputs, changed), of)
    expected = torch.autograd.grad(errors(inputs, changed), of)
    for own, other in zip(found[:-2], expected[:-2], strict=True):
        torch.testing.assert_close(own, other)
    for own, other in zip(found[-2:], expected[-2:], strict=True):
        torch.testing.assert_close(own, -other)
        assert own.abs().max() > 0


def test_the_adversary_is_a_layer_of_relus_and_a_logit():
    hidden = (INPUTS @ OWN[f"{NAME}hidden.weight"].T + OWN[f"{NAME}hidden.bias"]).relu()
    logit = hidden @ OWN[f"{NAME}output.weight"].T + OWN[f"{NAME}output.bias"]
    torch.testing.assert_close(guess(WITH_OWN, INPUTS), logit[:, 0])


def test_errors_of_a_sure_adversary_are_finite():
    sure = Net(NET.module, {**WITH_OWN.parameters, f"{NAME}output.bias": torch.full((1,), 1e4, dtype=torch.float64)})
    batch = BATCH._replace(draws={"changed": CHANGED})
    value = ActDiffAdversary(width=7).terms(sure, batch, STRENGTH).right_reason
    torch.testing.assert_close(value, STRENGTH * F.softplus(guess(sure, INPUTS))[:2].sum() / 3)
