"""ShortKit-ML's M06, on at most 1000 embeddings of width 12."""

from __future__ import annotations

import numpy as np
import pytest
from labelled_embeddings import embeddings
from rrrbench.benchmark.compat.shortkit import LastLayerRetraining
from rrrbench.methods.last_layer import logistic_regression
from rrrbench.methods.mitigations.dfr import balanced_subset


def worst_group_accuracy(predictions, task, group) -> float:
    return min((predictions == task)[(task == y) & (group == g)].mean() for y in (0, 1) for g in (0, 1))


def test_fault_last_layer_retraining_balances_the_groups_alone():
    hidden, task, group = embeddings(1000, correlation=0.98)
    test, test_task, test_group = embeddings(1000, correlation=0.5, seed=1)
    balanced = LastLayerRetraining(random_state=0).fit(hidden, task, group)
    rows = balanced_subset(group, np.random.default_rng(0))
    by_group = logistic_regression(l1_ratio=1, solver="liblinear", class_weight="balanced").fit(
        hidden[rows], task[rows]
    )
    accuracy = worst_group_accuracy(balanced.predict(test), test_task, test_group)
    assert accuracy > worst_group_accuracy(by_group.predict(test), test_task, test_group) + 0.1


@pytest.mark.parametrize("penalty_name", ["l1", "l2"])
def test_last_layer_retraining_of_three_classes_with_names(penalty_name):
    rng = np.random.default_rng(0)
    task, group = rng.integers(0, 3, 300), rng.integers(0, 2, 300)
    hidden = rng.normal(size=(300, 6)) + 3 * np.eye(6)[task]
    names, places = np.array(["a", "b", "c"])[task], np.array(["land", "water"])[group]
    retraining = LastLayerRetraining(penalty=penalty_name, refits=2, random_state=0)
    assert (retraining.fit_predict(hidden, names, places) == names).mean() > 0.85
    again = LastLayerRetraining(penalty=penalty_name, refits=2, random_state=0).fit(hidden, names, places)
    assert np.array_equal(again.coef_, retraining.coef_)


def test_last_layer_retraining_says_when_there_is_nothing_to_balance():
    hidden, task, _ = embeddings(40)
    with pytest.raises(ValueError, match=r"2 task labels in 2 \(task, group\) pairs"):
        LastLayerRetraining().fit(hidden, task, task)
    with pytest.raises(ValueError, match="LastLayerRetraining has not been fitted: call fit first"):
        LastLayerRetraining().predict(hidden)


def test_embeddings_of_another_width_are_refused():
    hidden, task, group = embeddings(60, correlation=0.5)
    fitted = LastLayerRetraining(refits=1, random_state=0).fit(hidden, task, group)
    with pytest.raises(ValueError, match="embed_dim is 11, fitted on embed_dim 12"):
        fitted.predict(hidden[:, 1:])


@pytest.mark.parametrize("classes", [2, 3])
def test_scaler_and_classifier_are_exposed_and_are_the_same_layer(classes):
    rng = np.random.default_rng(0)
    task, group = rng.integers(0, classes, 200), rng.integers(0, 2, 200)
    hidden = 5 + 3 * rng.normal(size=(200, 6)) + 2 * np.eye(6)[task]
    names = np.array(["a", "b", "c"])[task]
    retraining = LastLayerRetraining(refits=3, random_state=0)
    assert retraining.scaler_ is None
    assert retraining.classifier_ is None
    predicted = retraining.fit_predict(hidden, names, group)
    positions = retraining.classifier_.predict(retraining.scaler_.transform(hidden))
    assert np.array_equal(retraining.classes_[positions], predicted)
    assert 0.4 < (predicted == names).mean() < 1  # some are near the border


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float16, np.float32, bool, list])
def test_embeddings_of_any_real_numbers(kind):
    hidden, task, group = embeddings(60, correlation=0.5)
    hidden = hidden.tolist() if kind is list else np.abs(hidden).astype(kind)
    predicted = LastLayerRetraining(refits=1, random_state=0).fit_predict(hidden, task, group)
    assert predicted.shape == (60,)


def test_a_solver_without_the_penalty_is_refused_before_fit():
    with pytest.raises(ValueError, match="'lbfgs' knows no l1 penalty"):
        LastLayerRetraining(solver="lbfgs")
