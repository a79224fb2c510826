"""Wrong inputs at ShortKit-ML's front doors: each is a ValueError that names argument, value and way out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from labelled_embeddings import embeddings
from rrrbench.benchmark.compat.shortkit import (
    AdversarialDebiasing,
    BackgroundRandomizer,
    ContrastiveDebiasing,
    ExplanationRegularization,
    LastLayerRetraining,
    ShortcutMasker,
)
from scipy.sparse import csr_matrix
from torch import nn

pytestmark = pytest.mark.usefixtures("shapes_unchecked")
METHODS = (
    AdversarialDebiasing,
    BackgroundRandomizer,
    ContrastiveDebiasing,
    ExplanationRegularization,
    LastLayerRetraining,
    ShortcutMasker,
)
HIDDEN, TASK, GROUP = embeddings(40, correlation=0.5)
IMAGES, MASKS = np.random.default_rng(0).random((4, 6, 6, 3)), np.zeros((4, 6, 6))
MASKS[:, :2] = 1


def arguments_of(method, **changes) -> dict:
    """What the method's main call takes, but for the changes."""
    images = torch.rand(4, 1, 6, 6)
    right = {
        AdversarialDebiasing: {"embeddings": HIDDEN, "protected_labels": GROUP, "task_labels": TASK},
        BackgroundRandomizer: {"images": IMAGES, "foreground_masks": MASKS},
        ContrastiveDebiasing: {"embeddings": HIDDEN, "task_labels": TASK, "group_labels": GROUP},
        ExplanationRegularization: {
            "model": nn.Sequential(nn.Flatten(), nn.Linear(36, 2)),
            "images": images,
            "labels": np.array([0, 1, 0, 1]),
            "shortcut_masks": MASKS,
        },
        LastLayerRetraining: {"embeddings": HIDDEN, "task_labels": TASK, "group_labels": GROUP},
        ShortcutMasker: {"images": IMAGES, "shortcut_masks": MASKS},
    }
    return {**right[method], **changes}


def call(made, **changes):
    """The method's main call."""
    name = {BackgroundRandomizer: "swap_foregrounds", ShortcutMasker: "mask_images"}.get(type(made), "fit")
    return getattr(made, name)(**arguments_of(type(made), **changes))


SETTINGS = {
    **dict.fromkeys(("lr", "C", "temperature"), (0, -1.0, np.nan, np.inf, "1", True, None, [1.0])),
    **dict.fromkeys(("lambda_rrr", "adversary_weight"), (-1, np.nan, np.inf, "1", True, None)),
    **dict.fromkeys(("augment_fraction", "contrastive_weight"), (-0.1, 1.1, np.nan, "0.5", True, None)),
    **dict.fromkeys(("n_epochs", "batch_size", "pairs", "refits"), (0, -1, 1.5, 3.0, "3", True, np.True_, None)),
    "hidden_dim": (0, -1, 1.5, "8", True),
    "dropout": (-0.1, 1.0, np.nan, "0.1", True, None),
    "heatmap_threshold": (np.nan, np.inf, "0.5", True, None),
    "random_state": (-1, 1.5, "1", True, 2**63),
    "use_task_loss": (0, 1, "yes", None),
    "device": ("gpu", "cuda:99", "", 0, "meta"),
    "head": (True, 1.5, None),
    "reference_size": (6, (6,), (0, 6), (6, True), ("6", "6")),
    "classes": ("ab", ["a", "a"], [0, 1], 2),
    "target": ("logits", None, 1),
    "strategy": ("noise", None, True),
    "penalty": ("elasticnet", None, 1),
    "solver": ("adam", None, "lbfgs"),
    "class_weight": ("even", 1, {0: 1.0}),
}
WRONG_SETTINGS = [
    pytest.param(method, name, value, id=f"{method.__name__}-{name}-{value}")
    for method in METHODS
    for name in method.__dataclass_fields__
    for value in SETTINGS.get(name, ())
]


def test_every_setting_has_wrong_values():
    names = {name for method in METHODS for name in method.__dataclass_fields__} - {"_"}
    assert names == set(SETTINGS)


@pytest.mark.parametrize(("method", "name", "value"), WRONG_SETTINGS)
def test_wrong_settings_are_refused_by_their_names(method, name, value):
    with pytest.raises(ValueError, match=name):
        method(**{name: value})


@pytest.mark.parametrize(("method", "name", "value"), WRONG_SETTINGS)
def test_settings_that_are_made_wrong_afterwards_are_refused_before_the_first_step(method, name, value, monkeypatch):
    monkeypatch.setattr(torch.optim.Adam, "step", lambda *_: pytest.fail("a step"))
    made = method()
    setattr(made, name, value)
    with pytest.raises(ValueError, match=name):
        call(made)


WITH_NAN = HIDDEN.copy()
WITH_NAN[3, 2] = np.nan
MASKED = np.ma.masked_array(HIDDEN, HIDDEN > 2)
EMBEDDINGS = [
    (None, "embeddings are NoneType"),
    (3.0, r"embeddings have shape \(\)"),
    ([], r"embeddings have shape \(0,\)"),
    (HIDDEN[:0], r"embeddings have shape \(0, 12\), expected 2D"),
    (HIDDEN[:, :0], r"embeddings have shape \(40, 0\)"),
    (HIDDEN[0], r"embeddings have shape \(12,\), expected 2D"),
    (HIDDEN[:, :, None], r"embeddings have shape \(40, 12, 1\), expected 2D"),
    (WITH_NAN, r"embeddings hold nan at \(3, 2\)"),
    (np.where(np.isnan(WITH_NAN), np.inf, WITH_NAN), r"embeddings hold inf at \(3, 2\)"),
    (HIDDEN.astype(str), "embeddings are <U"),
    (HIDDEN.astype(object), "embeddings are object"),
    (HIDDEN.astype(complex), "embeddings are complex128"),
    ([[1.0, 2.0], [3.0]], "embeddings cannot be made an array"),
    ("embeddings.npy", "embeddings are str"),
    (csr_matrix(HIDDEN), "embeddings are csr_matrix"),
    (MASKED, "embeddings have masked entries"),
    (torch.tensor(WITH_NAN), "embeddings hold nan"),
    (pd.DataFrame(HIDDEN).astype({0: str}), "embeddings are object"),
]


@pytest.mark.parametrize(("wrong", "message"), EMBEDDINGS)
@pytest.mark.parametrize("method", [AdversarialDebiasing, ContrastiveDebiasing, LastLayerRetraining])
def test_wrong_embeddings_are_refused_before_the_first_step(method, wrong, message, monkeypatch):
    monkeypatch.setattr(torch.optim.Adam, "step", lambda *_: pytest.fail("a step"))
    with pytest.raises(ValueError, match=message):
        call(method(), embeddings=wrong)
    with pytest.raises(ValueError, match=message):
        ShortcutMasker().mask_embeddings(wrong, [0])


@pytest.mark.filterwarnings("ignore::rrrbench.benchmark.compat.shortkit.GroupStays")
@pytest.mark.parametrize("method", [AdversarialDebiasing, ContrastiveDebiasing, LastLayerRetraining])
def test_wrong_embeddings_are_refused_by_what_was_fitted(method):
    made = method(**({"refits": 1} if method is LastLayerRetraining else {"n_epochs": 1}))
    ask = "predict" if method is LastLayerRetraining else "transform"
    with pytest.raises(ValueError, match=f"{method.__name__} has not been fitted: call fit first"):
        getattr(made, ask)(HIDDEN)
    call(made)
    assert len(getattr(made, ask)(HIDDEN[:1])) == 1
    for wrong, message in [*EMBEDDINGS, (HIDDEN[:, 1:], "embed_dim is 11, fitted on embed_dim 12")]:
        with pytest.raises(ValueError, match=message):
            getattr(made, ask)(wrong)


def test_embeddings_that_overflow_are_refused():
    with pytest.raises(ValueError, match=r"too much for torch.float64's variance: divide them by"):
        call(AdversarialDebiasing(), embeddings=HIDDEN.astype(float) * 1e300)


LABELS = [
    (None, r"of shape \(\) for 40 embeddings"),
    (GROUP[:10], r"of shape \(10,\) for 40 embeddings: give the same length"),
    ([], r"of shape \(0,\)"),
    (np.eye(2)[GROUP], r"have shape \(40, 2\), expected \(40,\): of one-hot labels, give .argmax\(1\)"),
    (np.zeros(40), "are all 0"),
    (np.full(40, "a"), "are all 'a'"),
    (np.where(GROUP, np.nan, 0.0), "hold nan at"),
    (GROUP + 0.5, "hold [01].5, expected integers or names"),
    ([None, *GROUP[1:].tolist()], "hold None at 0"),
    (["a", *GROUP[1:].tolist()], "hold|are"),
    (pd.Series(GROUP).astype("Int64").where(GROUP > 0), "hold nan at"),
    (np.ma.masked_array(GROUP, GROUP > 0), "have masked entries"),
    (np.arange(40), "group"),
]
NAMES_OF_LABELS = [
    (AdversarialDebiasing, "protected_labels"),
    (AdversarialDebiasing, "task_labels"),
    (ContrastiveDebiasing, "group_labels"),
    (ContrastiveDebiasing, "task_labels"),
    (LastLayerRetraining, "group_labels"),
    (LastLayerRetraining, "task_labels"),
]


@pytest.mark.parametrize(("method", "name"), NAMES_OF_LABELS)
@pytest.mark.parametrize(("wrong", "message"), LABELS[:4] + LABELS[6:12])
def test_wrong_labels_are_refused_by_their_names(method, name, wrong, message, monkeypatch):
    monkeypatch.setattr(torch.optim.Adam, "step", lambda *_: pytest.fail("a step"))
    if (method, name) == (AdversarialDebiasing, "task_labels") and wrong is None:
        return  # without a task
    mixed = isinstance(wrong, list) and wrong[:1] == ["a"]
    if mixed:
        wrong, message = np.array(wrong, object), "hold int and str, which have no common order"
    with pytest.raises(ValueError, match=f"{name} {message}"):
        call(method(), **{name: wrong})


@pytest.mark.parametrize(("method", "name"), NAMES_OF_LABELS)
@pytest.mark.parametrize("labels", [np.zeros(40), np.full(40, "a"), np.arange(40)])
def test_labels_with_nothing_to_tell_apart_are_refused(method, name, labels):
    if (method, name) == (AdversarialDebiasing, "task_labels"):
        return  # a task is no condition there
    if (method, name) == (LastLayerRetraining, "group_labels") and len(np.unique(labels)) > 1:
        return  # every embedding is a group of its own, and all are taken
    with pytest.raises(ValueError, match=r"nothing to|at least 2|two groups|in one group only"):
        call(method(), **{name: labels})


@pytest.mark.filterwarnings("ignore::rrrbench.benchmark.compat.shortkit.GroupStays")
@pytest.mark.parametrize(
    "labels",
    [
        3 * GROUP - 7,
        GROUP.astype(bool),
        GROUP.astype(float),
        GROUP.astype(np.uint8),
        torch.tensor(GROUP),
        GROUP.tolist(),
        pd.Series(GROUP).astype("category"),
    ],
)
def test_labels_with_gaps_and_of_any_type_are_names(labels):
    expected = ContrastiveDebiasing(n_epochs=1, random_state=0).fit(HIDDEN, TASK, GROUP).transform(HIDDEN)
    found = ContrastiveDebiasing(n_epochs=1, random_state=0).fit(HIDDEN, TASK, labels).transform(HIDDEN)
    assert np.array_equal(found, expected)


def not_finite(model: nn.Module) -> nn.Module:
    with torch.no_grad():
        model[1].weight[0, 0] = np.nan
    return model


def linear(width=36, outputs=2) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(width, outputs))


def under_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return linear()


RRR = [
    ({"model": None}, "model is None, expected a torch.nn.Module"),
    ({"model": lambda images: images}, "model is <function"),
    ({"model": linear(10)}, r"the model does not take images of shape \(\d, 1, 6, 6\)"),
    ({"model": linear(outputs=1)}, "softmax of a single logit is always 1"),
    ({"model": not_finite(linear())}, "the model's 1.weight is not finite before the first step"),
    ({"model": under_inference_mode()}, "the model's 1.weight was made under torch.inference_mode"),
    ({"model": linear().requires_grad_(False)}, "nothing to train"),
    ({"model": nn.Flatten()}, "nothing to train"),
    ({"images": None}, "images are object"),
    ({"images": "images.npy"}, "images are <U"),
    ({"images": torch.rand(4, 6, 6)}, r"of shape \(4, 6, 6\), expected"),
    ({"images": torch.rand(0, 1, 6, 6)}, "expected at least one"),
    ({"images": torch.zeros(4, 1, 6, 6).long()}, r"images\.float\(\) / 255"),
    ({"images": torch.zeros(4, 1, 6, 6).bool()}, r"images\.float\(\) / 255"),
    ({"images": torch.rand(4, 1, 6, 6) + 0j}, "images are torch.complex64"),
    ({"images": torch.full((4, 1, 6, 6), np.nan)}, "image 0 is not finite"),
    ({"images": torch.rand(5, 1, 6, 6), "shortcut_masks": MASKS[:1]}, "labels length 4 is not that of 5 images"),
    ({"images": torch.rand(4, 6, 6, 3)}, r"images have shape \(4, 6, 6, 3\).*channels are last.*transpose the images"),
    ({"images": torch.rand(4, 6, 6, 1)}, "channels are last.*transpose the images"),
    ({"images": torch.rand(4, 8, 8, 3)}, "channels are last.*transpose the images"),
    ({"images": torch.rand(4, 6, 6, 4)}, "channels are last.*transpose the images"),
    ({"labels": None}, r"labels have shape \(\)"),
    ({"labels": []}, "labels length 0"),
    ({"labels": np.eye(2)[[0, 1, 0, 1]]}, r"labels have shape \(4, 2\), expected \(n,\): of one-hot labels"),
    ({"labels": [0, 2, 0, 2]}, r"labels range over \[0, 2\], the model has classes 0..1"),
    ({"labels": [0, -1, 0, 1]}, r"labels range over \[-1, 1\]"),
    ({"labels": [0, 1.5, 0, 1]}, "labels hold 1.5"),
    ({"labels": [0, np.nan, 0, 1]}, "labels hold nan"),
    ({"labels": [0, None, 0, 1]}, "labels are object"),
    ({"labels": ["a", "b", "a", "b"]}, "labels hold the name 'a', classes=None"),
    ({"labels": np.array([b"a", b"b", b"a", b"b"])}, r"labels are \|S1"),
    ({"labels": np.array([0, 1, 0, 1j])}, "labels are complex128"),
    ({"shortcut_masks": None}, "shortcut_masks are object"),
    ({"shortcut_masks": "masks.npy"}, "shortcut_masks are <U"),
    ({"shortcut_masks": [[1, 0], [1]]}, "shortcut_masks cannot be made an array"),
    ({"shortcut_masks": np.zeros((0, 6, 6))}, r"shortcut_masks have shape \(0, 6, 6\)"),
    ({"shortcut_masks": np.zeros((3, 6, 6))}, "a shortcut_masks batch size of 4"),
    ({"shortcut_masks": np.zeros(6)}, r"shortcut_masks have shape \(6,\)"),
    ({"shortcut_masks": MASKS * 255}, "pass mask > 0"),
    ({"shortcut_masks": MASKS - 1}, "such as -1"),
    ({"shortcut_masks": MASKS * np.nan}, "such as nan"),
    ({"shortcut_masks": 2 * np.random.default_rng(0).random((4, 6, 6))}, "the pixels above a threshold"),
    ({"shortcut_masks": MASKS.astype(complex)}, "shortcut_masks are complex128"),
]


@pytest.mark.parametrize(("changes", "message"), RRR)
def test_wrong_inputs_of_explanation_regularization_are_refused_before_the_first_step(changes, message, monkeypatch):
    monkeypatch.setattr(torch.optim.Adam, "step", lambda *_: pytest.fail("a step"))
    with pytest.raises(ValueError, match=message):
        call(ExplanationRegularization(), **changes)


def test_classes_name_each_output_of_the_model():
    with pytest.raises(ValueError, match="classes has 3 names, the model 2 outputs"):
        call(ExplanationRegularization(classes=["a", "b", "c"]), labels=["a", "b", "a", "b"])


PICTURES = [
    ({"images": None}, "images are NoneType"),
    ({"images": IMAGES[0, 0]}, r"images have shape \(6, 3\)"),
    ({"images": IMAGES[:0]}, r"images have shape \(0, 6, 6, 3\)"),
    ({"images": IMAGES[..., None]}, r"images have shape \(4, 6, 6, 3, 1\)"),
    ({"images": np.full((4, 6, 6), np.nan)}, r"images hold nan at \(0, 0, 0\)"),
    ({"images": IMAGES.astype(str)}, "images are <U"),
    ({"images": IMAGES.astype(object)}, "images are object"),
    ({"images": IMAGES.astype(complex)}, "images are complex128"),
    ({"images": IMAGES.transpose(0, 3, 1, 2)}, "they must match images.*transpose"),
    ({"masks": MASKS[:, :4]}, "they must match images"),
    ({"masks": MASKS[:3]}, "one mask per input"),
    ({"masks": MASKS * 255}, "such as 255"),
    ({"masks": -MASKS}, "such as -1"),
    ({"masks": MASKS * np.nan}, "masks hold nan"),
    ({"masks": MASKS.astype(str)}, "masks are <U"),
    ({"masks": [1]}, r"masks have shape \(1,\)"),
    ({"masks": 0.4 * np.random.default_rng(0).random((4, 6, 6))}, "no pixel is above 0.5.*masks >= 0.5"),
    ({"masks": 3 * np.random.default_rng(0).random((4, 6, 6))}, "the pixels above a threshold"),
    ({"masks": np.zeros((4, 6, 6, 2))}, "size 1 where it is to be broadcast"),
]


@pytest.mark.parametrize(("changes", "message"), PICTURES)
@pytest.mark.parametrize("method", [BackgroundRandomizer, ShortcutMasker])
def test_wrong_images_and_masks_are_refused(method, changes, message):
    name = "foreground_masks" if method is BackgroundRandomizer else "shortcut_masks"
    with pytest.raises(ValueError, match=message):
        call(method(), **{name if key == "masks" else key: value for key, value in changes.items()})


def test_no_foreground_masks_are_refused():
    with pytest.raises(ValueError, match="masks are NoneType"):
        call(BackgroundRandomizer(), foreground_masks=None)


@pytest.mark.parametrize(
    ("flagged", "message"),
    [
        (None, "flagged_dim_indices are None"),
        (1, "flagged_dim_indices are 1"),
        ("1", "flagged_dim_indices are '1'"),
        ([1.7], r"flagged_dim_indices are \[1.7\]"),
        ([True, False], "flagged_dim_indices are bools.*np.flatnonzero"),
        (["1"], "flagged_dim_indices are"),
        ([-1], r"flagged_dim_indices \[-1\] of embeddings of width 12: pass 0..11"),
        ([12], r"flagged_dim_indices \[12\]"),
        ([[0, 1]], "flagged_dim_indices are"),
        ([np.nan], "flagged_dim_indices are"),
    ],
)
def test_wrong_dimensions_are_refused(flagged, message):
    with pytest.raises(ValueError, match=message):
        ShortcutMasker().mask_embeddings(HIDDEN, flagged)


def test_no_dimension_is_flagged():
    assert np.array_equal(ShortcutMasker("zero").mask_embeddings(HIDDEN, []), HIDDEN)


def test_another_seed_starts_the_draws_over():
    masker = ShortcutMasker(random_state=0)
    first = masker.mask_images(IMAGES, MASKS)
    masker.random_state = 1
    assert np.array_equal(masker.mask_images(IMAGES, MASKS), ShortcutMasker(random_state=1).mask_images(IMAGES, MASKS))
    masker.random_state = 0
    assert np.array_equal(masker.mask_images(IMAGES, MASKS), first)
