"""ShortKit-ML's M04, on at most 400 embeddings of width 12."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from labelled_embeddings import embeddings
from rrrbench.benchmark.compat.shortkit import AdversarialDebiasing, GroupStays
from rrrbench.methods.mitigations.adversarial_debiasing import refitted_accuracy


def hides(features, task, group) -> float:
    """The accuracy of a new linear adversary, every (task, group) pair weighed the same; chance is 1/2."""
    order = np.random.default_rng(1).permutation(len(task))
    return refitted_accuracy(features[order].astype(float), torch.tensor(task[order]), torch.tensor(group[order]))


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::rrrbench.benchmark.compat.shortkit.GroupStays")
def test_fault_without_a_task_the_encoder_collapses():
    hidden, task, group = embeddings(200, correlation=0.7)
    state = torch.get_rng_state()
    debiasing = AdversarialDebiasing(adversary_weight=1.0, n_epochs=250, random_state=0).fit(hidden, group)
    assert torch.equal(torch.get_rng_state(), state)
    features = debiasing.transform(hidden)
    assert features.dtype == np.float32
    assert features.shape == (200, 12)
    assert features.std(0).mean() > 0.3  # no constant
    assert hides(features, group, task) > 0.85  # the task is still in there
    assert hides(features, task, group) < hides(hidden, task, group) - 0.2


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_fault_the_adversary_is_not_checked(weight):
    hidden, task, group = embeddings()
    debiasing = AdversarialDebiasing(adversary_weight=weight, n_epochs=10, random_state=0)
    with pytest.warns(GroupStays, match="AdversarialDebiasing has not removed the group"):
        features = debiasing.fit(hidden, group, task_labels=task).transform(hidden)
    assert debiasing.adversary_accuracy_ == pytest.approx(hides(features, task, group), abs=0.1)


@pytest.mark.filterwarnings("ignore::rrrbench.benchmark.compat.shortkit.GroupStays")
@pytest.mark.parametrize("task_labels", [None, "of the data"])
def test_fit_transform_is_fit_and_then_transform(task_labels):
    hidden, task, group = embeddings(60, correlation=0.5)
    tasks = None if task_labels is None else task
    one, two = (AdversarialDebiasing(hidden_dim=4, n_epochs=1, random_state=0) for _ in range(2))
    features = one.fit_transform(hidden, group, tasks)
    assert np.array_equal(features, two.fit(hidden, group, task_labels=tasks).transform(hidden))
    assert features.shape == (60, 4)


def test_what_is_missing_or_too_small_is_named_before_training():
    hidden, _, group = embeddings(40)
    with pytest.raises(ValueError, match="nothing to hide"):
        AdversarialDebiasing().fit(hidden, 0 * group)
    with pytest.raises(ValueError, match=r"protected_labels of shape \(39,\) for 40 embeddings: give the same length"):
        AdversarialDebiasing().fit(hidden, group[1:])
    with pytest.raises(ValueError, match="AdversarialDebiasing has not been fitted: call fit first"):
        AdversarialDebiasing().transform(hidden)
    with pytest.raises(ValueError, match=r"2 groups, the largest of \[1, 39\] embeddings"):
        AdversarialDebiasing().fit(hidden, np.arange(40) == 0)


def test_a_training_that_diverges_is_no_encoder():
    hidden, _, group = embeddings(40)
    with pytest.raises(RuntimeError, match="not finite after 2 epochs: lower lr"):
        AdversarialDebiasing(lr=1e30, n_epochs=2, random_state=0).fit(hidden, group)
