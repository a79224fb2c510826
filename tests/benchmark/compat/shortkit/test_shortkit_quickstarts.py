"""The examples of ShortKit-ML's pages, with the import alone changed, on inputs of the shapes that the pages name.

The probe of the pages, `SKLearnProbe`, is a detector, which is not here: scikit-learn's own takes its place.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled_embeddings import embeddings as labelled
from rrrbench.benchmark.compat.shortkit import (
    AdversarialDebiasing,
    BackgroundRandomizer,
    ContrastiveDebiasing,
    ExplanationRegularization,
    LastLayerRetraining,
    ShortcutMasker,
)
from torch import nn

DOCS = Path(__file__).parents[4] / "docs" / "shortkit.md"
pytestmark = pytest.mark.filterwarnings("ignore::rrrbench.benchmark.compat.shortkit.GroupStays")


@pytest.fixture(scope="module")
def embeddings():
    return labelled(80, correlation=0.6)


def images_and_masks():
    rng = np.random.default_rng(0)
    return rng.random((4, 8, 8, 3)), rng.random((4, 8, 8))


def test_explanation_regularization_with_random_masks():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    images = torch.randn(32, 3, 22, 22)
    labels = np.array([0, 1] * 16)
    masks = np.random.default_rng(0).random((32, 22, 22))
    before = model[0].weight.clone()
    rrr = ExplanationRegularization(
        lambda_rrr=1.0,
        lr=1e-4,
        n_epochs=10,
        batch_size=8,
        head="logits",
        random_state=42,
    )
    rrr.fit(model, images, labels, masks)
    assert not torch.equal(model[0].weight, before)
    assert len(rrr._history) == 10


def test_shortcut_masking_of_images():
    images, soft = images_and_masks()
    masker = ShortcutMasker(strategy="randomize", heatmap_threshold=0.5, augment_fraction=1.0)
    augmented = masker.mask_images(images, shortcut_masks=soft)
    assert np.array_equal(augmented != images, np.broadcast_to((soft > 0.5)[..., None], images.shape))
    augmented = masker.mask_images(images, heatmaps=soft)
    assert np.array_equal(augmented[soft < 0.5], images[soft < 0.5])


def test_shortcut_masking_of_embeddings(embeddings):
    masker = ShortcutMasker(strategy="zero")
    augmented = masker.mask_embeddings(embeddings[0], flagged_dim_indices=[0, 3, 7])
    assert not augmented[:, [0, 3, 7]].any()


def test_background_randomization():
    images, soft = images_and_masks()
    randomizer = BackgroundRandomizer(augment_fraction=1.0, random_state=42)
    augmented = randomizer.swap_foregrounds(images, soft)
    assert np.array_equal(augmented[soft > 0.5], images[soft > 0.5])
    assert not np.array_equal(augmented, images)


@pytest.mark.long
def test_adversarial_debiasing_without_and_with_task_labels(embeddings):
    hidden, task_labels, protected_labels = embeddings
    debiaser = AdversarialDebiasing(hidden_dim=64, adversary_weight=0.5, n_epochs=50, batch_size=64, random_state=42)
    debiaser.fit(hidden, protected_labels)
    assert debiaser.transform(hidden).shape == (80, 64)
    debiaser = AdversarialDebiasing(hidden_dim=64, adversary_weight=0.5, n_epochs=50)
    debiaser.fit(hidden, protected_labels, task_labels=task_labels)
    assert debiaser.transform(hidden).shape == (80, 64)
    assert debiaser.fit_transform(hidden, protected_labels).shape == (80, 64)


def test_last_layer_retraining(embeddings):
    hidden, task_labels, group_labels = embeddings
    dfr = LastLayerRetraining(C=1.0, penalty="l1", class_weight="balanced", random_state=42)
    dfr.fit(hidden, task_labels, group_labels)
    predictions = dfr.predict(hidden)
    assert np.array_equal(dfr.fit_predict(hidden, task_labels, group_labels), predictions)


@pytest.mark.long
def test_contrastive_debiasing(embeddings):
    hidden, task_labels, group_labels = embeddings
    cnc = ContrastiveDebiasing(
        hidden_dim=32,
        temperature=0.05,
        contrastive_weight=0.75,
        use_task_loss=True,
        n_epochs=50,
        batch_size=64,
        random_state=42,
    )
    cnc.fit(hidden, task_labels, group_labels)
    assert cnc.transform(hidden).shape == (80, 32)
    assert cnc.fit_transform(hidden, task_labels, group_labels).shape == (80, 32)


@pytest.mark.parametrize("kind", [np.int64, np.uint8])
def test_integer_embeddings(embeddings, kind):
    hidden, task, group = embeddings
    hidden = np.abs(10 * hidden).astype(kind)
    short = {"n_epochs": 1, "random_state": 42}
    assert AdversarialDebiasing(**short).fit_transform(hidden, group).shape == (80, 12)
    assert ContrastiveDebiasing(**short).fit_transform(hidden, task, group).shape == (80, 12)
    assert LastLayerRetraining(random_state=42).fit_predict(hidden, task, group).shape == (80,)
    masked = ShortcutMasker("zero").mask_embeddings(hidden, [1])
    assert masked.dtype == kind


def test_names_of_labels_as_objects(embeddings):
    """As in ShortKit-ML's own tests."""
    hidden, task, group = embeddings
    names, places = np.array(["neg", "pos"], object)[task], np.array(["a", "b"], object)[group]
    predicted = LastLayerRetraining(random_state=42).fit_predict(hidden, names, places)
    assert set(predicted) <= {"neg", "pos"}
    assert ContrastiveDebiasing(n_epochs=1).fit_transform(hidden, names, places).shape == (80, 12)


def test_the_example_of_our_page_runs():
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    names = {}
    exec(compile(code, "docs/shortkit.md", "exec"), names)
    assert names["rrr"]._history[-1]["epoch"] == 10
