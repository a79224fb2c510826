"""Every explainer explains a model and inputs of another device there, with the CPU's numbers."""

from __future__ import annotations

import pytest
import torch
from foxai_network import EVERY, INPUTS, TARGET, model, named
from pretend_device import OnDevice, to_host


@pytest.mark.slow
@EVERY
def test_every_explainer_explains_on_a_device(pretend, explainer):
    expected = named(explainer).calculate_features(model(), INPUTS, TARGET)
    found = named(explainer).calculate_features(model().to(pretend), INPUTS.to(pretend), TARGET)
    assert isinstance(found, OnDevice)
    torch.testing.assert_close(to_host(found), expected)
