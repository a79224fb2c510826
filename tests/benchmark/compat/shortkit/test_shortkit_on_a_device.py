"""The methods that train take a device, and have the CPU's numbers on it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labelled_embeddings import embeddings
from rrrbench.benchmark.compat.shortkit import AdversarialDebiasing, ContrastiveDebiasing, ExplanationRegularization
from torch import nn


def test_explanation_regularization(pretend):
    rng, found = np.random.default_rng(0), {}
    images, masks = torch.from_numpy(rng.random((6, 2, 4, 4))), np.zeros((6, 4, 4))
    masks[:, :2] = 1
    for device in ("cpu", pretend):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(32, 6), nn.Tanh(), nn.Linear(6, 3)).double()
        method = ExplanationRegularization(random_state=0, n_epochs=2, batch_size=3, device=device)
        method.fit(network, images, np.array([0, 1, 2, 0, 1, 2]), masks)
        found[device] = [parameter.detach() for parameter in network.parameters()]
    torch.testing.assert_close(found[pretend], found["cpu"], rtol=1e-9, atol=1e-11)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::rrrbench.benchmark.compat.shortkit.GroupStays")
@pytest.mark.parametrize("method", [AdversarialDebiasing, ContrastiveDebiasing])
def test_debiasing(pretend, method):
    hidden, task, group = embeddings(correlation=0.9)
    features = []
    for device in ("cpu", pretend):
        debiasing = method(random_state=0, n_epochs=2, device=device)
        arguments = (hidden, task, group) if method is ContrastiveDebiasing else (hidden, group)
        features.append(debiasing.fit(*arguments).transform(hidden))
    np.testing.assert_allclose(features[1], features[0], rtol=1e-3, atol=1e-5)
