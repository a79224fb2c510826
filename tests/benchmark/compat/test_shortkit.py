"""ShortKit-ML's interface: one test for each fault that the original is known to have, by its name.

Trains on 7 images of 4x4 for a step or two; repairs on 200 images of 6x6; on at most 1000 embeddings of width 12.
"""

from __future__ import annotations

import re
from collections import namedtuple
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from rrrbench.benchmark.compat.shortkit import (
    AdversarialDebiasing,
    BackgroundRandomizer,
    ContrastiveDebiasing,
    ExplanationRegularization,
    LastLayerRetraining,
    ShortcutMasker,
)
from rrrbench.benchmark.compat.shortkit.explanation_regularization import masks_for
from rrrbench.datasets.base import Batch
from rrrbench.methods import rrr_loss
from rrrbench.methods.last_layer import logistic_regression
from rrrbench.methods.mitigations.adversarial_debiasing import refitted_accuracy
from rrrbench.methods.mitigations.contrastive_debiasing import ContrastiveDebiasing as Contrast
from rrrbench.methods.mitigations.dfr import balanced_subset
from small import Linear, bound, small_dataset
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

DOCS = Path(__file__).parents[3] / "docs" / "shortkit.md"
N, CHANNELS, SIDE, CLASSES = 7, 2, 4, 3
STILL = {"lr": 1e-30, "n_epochs": 1}  # Adam's steps are at most lr, so the history is that of the weights as they were


def model() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(CHANNELS * SIDE**2, 6), nn.Tanh(), nn.Linear(6, CLASSES)
    return nn.Sequential(*layers).double()


def normalised_model() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Flatten(), nn.Linear(CHANNELS * SIDE**2, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, CLASSES)
    network = nn.Sequential(*layers).double()
    network[2].running_mean.normal_()
    network[2].running_var.uniform_(0.5, 2)
    return network


def data():
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(N, CHANNELS, SIDE, SIDE, dtype=torch.float64, generator=generator)
    masks = np.zeros((N, SIDE, SIDE))
    masks[:5, :2, 1:] = 1
    masks[5:, 3] = 1
    return images, np.array([0, 1, 2, 0, 1, 2, 0]), masks


def fit(network=None, images=None, labels=None, masks=None, **settings):
    """The regularization after `fit` to the data above, but for what is given, and the network."""
    default_images, default_labels, default_masks = data()
    network = model() if network is None else network
    images = default_images if images is None else images
    labels = default_labels if labels is None else labels
    masks = default_masks if masks is None else masks
    settings = {"random_state": 0, "n_epochs": 2, **settings}
    return ExplanationRegularization(**settings).fit(network, images, labels, masks), network


def penalty(*arguments, **settings) -> float:
    """The penalty of the weights as they are."""
    return fit(*arguments, **{**STILL, **settings})[0]._history[0]["penalty"]


def weights(network) -> torch.Tensor:
    return torch.cat([value.detach().flatten() for value in network.state_dict().values()])


class Counts(TorchDispatchMode):
    """How often each operation ran, on tensors other than float32: Adam looks at its own counters in float32."""

    def __init__(self):
        super().__init__()
        self.counts = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if not (args and isinstance(args[0], torch.Tensor) and args[0].dtype == torch.float32):
            self.counts[func] = self.counts.get(func, 0) + 1
        return func(*args, **(kwargs or {}))


# The call


def test_same_call_same_defaults():
    regularization = ExplanationRegularization()
    assert [getattr(regularization, name) for name in ("lambda_rrr", "lr", "n_epochs", "batch_size", "head")] == [
        1.0, 1e-4, 10, 8, "logits"
    ]  # fmt: skip
    assert ExplanationRegularization(2.0, 1e-3, 3, 4, 0, "cpu", 5).random_state == 5
    network, before = model(), weights(model())
    images, labels, masks = data()
    result = regularization.fit(network, images, labels, shortcut_masks=masks)
    assert result is regularization
    assert not torch.equal(weights(network), before)
    assert [list(row) for row in regularization._history] == [["epoch", "ce_loss", "penalty"]] * 10
    assert [row["epoch"] for row in regularization._history] == list(range(1, 11))


def test_the_history_of_a_linear_model_by_hand():
    torch.manual_seed(2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(CHANNELS * SIDE**2, CLASSES)).double()
    images, labels, masks = data()
    weight, p = network[1].weight.detach(), network(images).softmax(-1).detach()
    gradient = (weight.sum(0) - CLASSES * p @ weight).view_as(images)  # of sum_k log p_k
    (row,) = fit(network, **STILL, batch_size=3)[0]._history
    assert row["penalty"] == pytest.approx((gradient.square() * torch.tensor(masks)[:, None]).sum().item() / N)
    assert row["ce_loss"] == pytest.approx(F.cross_entropy(network(images), torch.tensor(labels)).item())


def test_one_seed_gives_the_same_weights_and_the_global_draws_go_on_as_before():
    def dropping():
        return nn.Sequential(*list(model())[:3], nn.Dropout(0.5), model()[3])

    (_, one), (_, two), (_, other) = (fit(dropping(), lr=0.1, random_state=seed) for seed in (3, 3, 4))
    assert torch.equal(weights(one), weights(two))
    assert not torch.equal(weights(one), weights(other))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    fit(one)
    assert torch.equal(torch.get_rng_state(), state)


def test_images_take_the_dtype_of_the_model():
    _, network = fit(model().float())
    assert network[1].weight.dtype == torch.float32
    assert not torch.equal(weights(network), weights(model().float()))


@pytest.mark.parametrize("change", [{"labels": np.zeros(N - 1, int)}, {"masks": np.zeros((N - 1, SIDE, SIDE))}])
def test_lengths_that_differ_are_refused(change):
    with pytest.raises(ValueError, match=rf"{N - 1}"):
        fit(**change)


# Its faults, in the order of the table in docs/shortkit.md


@pytest.mark.parametrize("size", [1, 2, 4, 100])
def test_fault_lambda_scales_with_the_batch_size(size):
    assert penalty(batch_size=size) == pytest.approx(penalty(batch_size=N), rel=1e-12)


@pytest.mark.parametrize("times", [2, 4])
def test_fault_lambda_depends_on_the_resolution(times):
    torch.manual_seed(0)
    network = nn.Sequential(nn.AdaptiveAvgPool2d(SIDE), model())
    images, _, masks = data()
    enlarged = images.repeat_interleave(times, 2).repeat_interleave(times, 3)
    large = {"network": network, "images": enlarged, "masks": masks.repeat(times, 1).repeat(times, 2)}
    assert penalty(**large) == pytest.approx(penalty(network) / times**2)  # per-pixel gradients: the unit of rrrbench
    assert penalty(**large, reference_size=(SIDE, SIDE)) == pytest.approx(penalty(network))


def repaired(model, train, strength, target) -> tuple[nn.Module, list]:
    """A copy of the model after a repair, and the history."""
    settings = {"lr": 0.01, "n_epochs": 40, "batch_size": 50, "random_state": 1}
    regularization, copied = ExplanationRegularization(strength, **settings, target=target), deepcopy(model)
    return copied, regularization.fit(copied, train.inputs, train.labels, train.masks)._history


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_fault_the_true_class_target_leaves_a_confident_model_as_it_is(seed):
    """At every strength; the sum repairs the same model at a small one. In docs/shortkit.md as a table."""
    dataset = small_dataset(seed, n=200, signal=0.25)
    train, test = dataset.train.batch(), dataset.test("random").batch()
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Flatten(), nn.Linear(36, 32), nn.ReLU(), nn.Linear(32, 3))
    erm = ExplanationRegularization(lambda_rrr=0, lr=0.02, n_epochs=60, batch_size=50, random_state=0)
    erm.fit(network, train.inputs, train.labels, train.masks)

    def accuracy(network) -> float:
        with torch.no_grad():
            return (network(test.inputs).argmax(1) == test.labels).double().mean().item()

    with torch.no_grad():
        assert F.cross_entropy(network(train.inputs), train.labels) < 1e-3  # confident
    before = accuracy(network)
    assert before < 0.78  # it uses the shortcut
    for strength in (0.03, 1.0, 100.0, 10000.0):
        fixed, history = repaired(network, train, strength, "log_prob_true")
        assert history[0]["penalty"] < 0.02
        assert abs(accuracy(fixed) - before) < 0.03
    fixed, history = repaired(network, train, 0.03, "log_prob_sum")
    assert history[0]["penalty"] > 100
    assert history[-1]["penalty"] < 0.02 * history[0]["penalty"]
    assert accuracy(fixed) > before + 0.2


def test_fault_batch_statistics_couple_the_images_of_a_batch():
    assert penalty(normalised_model(), batch_size=N) == pytest.approx(penalty(normalised_model(), batch_size=1))
    assert penalty(normalised_model(), batch_size=3) == pytest.approx(penalty(normalised_model(), batch_size=1))


def test_fault_running_statistics_drift_and_a_last_batch_of_one_raises():
    _, network = fit(normalised_model(), batch_size=6, lr=0.1)
    assert torch.equal(network[2].running_mean, normalised_model()[2].running_mean)
    assert torch.equal(network[2].running_var, normalised_model()[2].running_var)
    assert not torch.equal(network[2].weight, normalised_model()[2].weight)


@pytest.mark.parametrize("training", [True, False])
def test_fault_mode_gradients_and_device_are_not_given_back(training):
    network = model().train(training)
    network[0].train(not training)
    network[1].weight.grad = torch.ones_like(network[1].weight)
    network[3].bias.requires_grad_(False)
    bias = network[3].bias.clone()
    fit(network, lr=0.1, device="cpu")
    assert [module.training for module in network] == [not training, training, training, training]
    assert torch.equal(network[1].weight.grad, torch.ones_like(network[1].weight))
    assert network[3].weight.grad is None
    assert torch.equal(network[3].bias, bias)


def test_fault_the_model_is_not_given_back_when_fit_raises():
    network = model().eval()
    with pytest.raises(RuntimeError, match="epoch 1"):
        fit(network, lr=1.7e308, batch_size=1)
    assert not network.training
    assert network[1].weight.grad is None


def test_fault_resized_masks_have_soft_borders():
    masks = torch.zeros(1, 2, 2)
    masks[0, 0, 1] = 1
    resized = masks_for(masks, torch.Size((N, CHANNELS, SIDE, SIDE)))
    assert resized.dtype == torch.bool
    assert resized[0, 0].tolist() == [[False, False, True, True]] * 2 + [[False] * 4] * 2
    assert penalty(masks=masks) == penalty(masks=resized)
    with pytest.raises(ValueError, match="mask 0 is empty after it was resized"):
        penalty(masks=np.eye(16)[None] * (np.arange(16) == 0))


@pytest.mark.parametrize("operation", [torch.ops.aten._to_copy.default, torch.ops.aten._local_scalar_dense.default])
def test_fault_every_step_copies_masks_and_waits_for_the_device(operation):
    def times(size) -> int:
        with Counts() as mode:
            fit(masks=np.eye(2)[None].repeat(N, 0), batch_size=size)
        return mode.counts.get(operation, 0)

    assert times(1) == times(N)


@pytest.mark.gpu
def test_a_step_on_a_gpu_does_not_wait_for_it_and_the_model_comes_back(recwarn):
    def waits(size) -> int:
        recwarn.clear()
        torch.cuda.set_sync_debug_mode("warn")
        try:
            _, network = fit(masks=np.eye(2)[None].repeat(N, 0), batch_size=size, device="cuda")
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert network[1].weight.device.type == "cpu"
        return len(recwarn)

    fit(device="cuda")  # CUDA's own start
    assert waits(1) == waits(N)
    state = torch.cuda.get_rng_state()
    fit(device="cuda")
    assert torch.equal(torch.cuda.get_rng_state(), state)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (255.0, "such as 255: its two values are 0 and 255: pass mask > 0"),
        (-1.0, "such as -1"),
        (np.nan, "such as nan"),
        (0.5, "such as 0.5"),
    ],
)
def test_fault_masks_of_any_value_are_accepted(value, message):
    network, (_, _, masks) = model(), data()
    with pytest.raises(ValueError, match=message):
        fit(network, masks=masks * value)
    assert torch.equal(weights(network), weights(model()))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_fault_an_image_that_is_not_finite_ruins_the_weights(value):
    network, (images, _, _) = model(), data()
    images[3, 0, 1, 1] = value
    with pytest.raises(ValueError, match="image 3 is not finite"):
        fit(network, images=images)
    assert torch.equal(weights(network), weights(model()))


@pytest.mark.parametrize("strength", [-1, float("nan"), float("inf")])
def test_fault_lambda_of_any_value_is_accepted(strength):
    with pytest.raises(ValueError, match=f"lambda_rrr[^$]*input_value={strength}"):
        ExplanationRegularization(lambda_rrr=strength)
    made, (images, labels, masks) = ExplanationRegularization(), data()
    made.lambda_rrr = strength
    with pytest.raises(ValueError, match=f"lambda_rrr[^$]*input_value={strength}"):
        made.fit(model(), images, labels, masks)


def test_fault_masks_with_a_channel_axis_raise():
    _, _, masks = data()
    assert penalty(masks=masks[:, None]) == penalty(masks=masks)
    first = np.stack((masks, 0 * masks), 1)
    assert penalty(masks=first) + penalty(masks=first[:, ::-1].copy()) == pytest.approx(penalty(masks=masks))
    assert penalty(masks=masks[0]) == penalty(masks=masks[:1]) == penalty(masks=masks[:1].repeat(N, 0))
    with pytest.raises(ValueError, match=r"shortcut_masks have shape \(7, 3, 4, 4\), images \(7, 2, 4, 4\)"):
        penalty(masks=np.zeros((N, 3, SIDE, SIDE)))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1.7, 2, 0, 1, 2, 0], "labels hold 1.7"),
        ([0, np.nan, 2, 0, 1, 2, 0], "labels hold nan"),
        ([0, 1, 2, 0, 1, 2, 5], r"range over \[0, 5\], the model has classes 0..2"),
        ([0, 1, 2, 0, 1, 2, -100], r"range over \[-100, 2\]"),
        (list("aabbcca"), "labels hold the name 'a', classes=None"),
    ],
)
def test_fault_labels_are_truncated_or_fail_late(labels, message):
    network = model()
    with pytest.raises(ValueError, match=message):
        fit(network, labels=np.array(labels), batch_size=1)
    assert torch.equal(weights(network), weights(model()))


def test_fault_labels_cannot_be_names():
    names = np.array(["cat", "dog", "ant"])
    _, named = fit(labels=names[data()[1]], classes=["cat", "dog", "ant"])
    _, numbered = fit()
    assert torch.equal(weights(named), weights(numbered))
    _, of_objects = fit(labels=names[data()[1]].astype(object), classes=["cat", "dog", "ant"])
    assert torch.equal(weights(of_objects), weights(numbered))
    with pytest.raises(ValueError, match="the name 'dog'"):
        fit(labels=names[data()[1]], classes=["cat", "ant"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": nn.Sequential(nn.Flatten(), nn.Linear(32, 1)).double(), "labels": np.zeros(N)}, r"\(0, z\)"),
        ({"network": nn.Sequential(nn.Flatten(), nn.Linear(32, 1), nn.Flatten(0)).double()}, r"shape \(1,\)"),
        (
            {"images": torch.zeros(0, CHANNELS, SIDE, SIDE), "labels": [], "masks": np.zeros((1, SIDE, SIDE))},
            "at least one",
        ),
        ({"images": torch.zeros(N, CHANNELS, SIDE, SIDE, dtype=torch.uint8)}, r"images\.float\(\) / 255"),
        ({"network": model().requires_grad_(False)}, "nothing to train"),
        ({"n_epochs": 0}, "n_epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"lr": 0.0}, "lr"),
        ({"target": "logits"}, "log_prob_sum"),
    ],
)
@pytest.mark.usefixtures("shapes_unchecked")
def test_fault_nothing_to_learn_succeeds(change, message):
    with pytest.raises(ValueError, match=message):
        fit(**change)


Pair = namedtuple("Pair", ["aux", "scores"])


class Wrapped(nn.Module):
    def __init__(self, wrap):
        super().__init__()
        self.inner, self.wrap = model(), wrap

    def forward(self, images):
        logits = self.inner(images)
        return self.wrap(logits, torch.zeros_like(logits))


@pytest.mark.parametrize(
    ("wrap", "head"),
    [
        (lambda logits, other: (logits, other), "logits"),
        (lambda logits, other: [other, logits], 1),
        (lambda logits, other: (other, logits), -1),
        (lambda logits, other: Pair(other, logits), "scores"),
        (lambda logits, other: {"aux": other, "logits": logits}, "logits"),
        (lambda logits, other: {"aux": other, "out": logits}, "out"),
        (lambda logits, other: {"aux": other, "out": logits}, 1),
    ],
)
def test_fault_a_head_is_not_found(wrap, head):
    _, wrapped = fit(Wrapped(wrap), head=head)
    _, plain = fit()
    assert torch.equal(weights(wrapped), weights(plain))


@pytest.mark.parametrize(
    ("wrap", "head", "message"),
    [
        (lambda logits, other: (logits, other), 2, "a tuple with 2 outputs, not head=2"),
        (lambda logits, other: [logits, other], "scores", "a list with 2 outputs, not head='scores'"),
        (lambda logits, other: {"aux": other, "out": logits}, "logits", "outputs aux, out, not head='logits'"),
        (lambda logits, other: None, "logits", "gives a NoneType"),
    ],
)
def test_fault_a_wrong_head_is_replaced_by_the_first_output(wrap, head, message):
    with pytest.raises(ValueError, match=message):
        fit(Wrapped(wrap), head=head)


def test_fault_no_schedule_or_clipping_so_the_loss_serves_any_loop():
    images, labels, masks = data()
    network, masks = model(), torch.tensor(masks)[:, None]
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(5):
        optimizer.zero_grad()
        rrr_loss(network, images, torch.tensor(labels), masks, strength=0.3).backward()
        optimizer.step()
    _, fitted = fit(lambda_rrr=0.3, lr=0.01, n_epochs=5)
    torch.testing.assert_close(weights(fitted), weights(network))


class Watched(nn.Module):
    """A model that notes whether its inputs need gradients."""

    def __init__(self):
        super().__init__()
        self.inner, self.seen = normalised_model(), []

    def forward(self, images):
        self.seen.append(images.requires_grad)
        return self.inner(images)


@pytest.mark.parametrize("nothing", [{"lambda_rrr": 0}, {"masks": np.zeros((SIDE, SIDE))}])
def test_fault_second_derivatives_are_prepared_for_nothing(nothing):
    regularization, watched = fit(Watched(), lr=0.01, batch_size=N, **nothing)
    assert not any(watched.seen)
    plain = normalised_model().train()
    plain[2].eval()
    optimizer = torch.optim.Adam(plain.parameters(), lr=0.01)
    images, labels, _ = data()
    order = torch.Generator().manual_seed(0)
    for _ in range(2):
        rows = torch.randperm(N, generator=order)
        optimizer.zero_grad()
        F.cross_entropy(plain(images[rows]), torch.tensor(labels)[rows]).backward()
        optimizer.step()
    assert torch.equal(weights(watched), weights(plain))
    unknown = [np.isnan(row["penalty"]) for row in regularization._history]
    assert unknown == [nothing == {"lambda_rrr": 0}] * 2


def test_fault_no_gradient_is_a_branch_that_is_never_reached():
    class Blind(nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = nn.Parameter(torch.zeros(CLASSES, dtype=torch.float64))

        def forward(self, images):
            return self.bias + images.detach().mean((1, 2, 3))[:, None]

    with pytest.raises(RuntimeError, match="no input gradient"):
        fit(Blind())


def test_fault_read_only_masks_warn(recwarn):
    masks = np.broadcast_to(data()[2][0], (N, SIDE, SIDE))
    assert not masks.flags.writeable
    fit(masks=masks)
    masks = data()[2][0]
    masks.flags.writeable = False
    fit(masks=masks)
    assert not len(recwarn)


# Images: M01 and M02


def pictures(dtype=np.float64) -> tuple[np.ndarray, np.ndarray]:
    """6 images of 8x8 in 3 channels over [-2, 3], or 0..255, and masks of a 3x3 square."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-2, 3, (6, 8, 8, 3)) if np.dtype(dtype).kind == "f" else rng.integers(0, 256, (6, 8, 8, 3))
    masks = np.zeros((6, 8, 8), bool)
    masks[:, 2:5, 2:5] = True
    return images.astype(dtype), masks


@pytest.mark.parametrize("strategy", ["zero", "randomize", "inpaint"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_fault_masking_changes_pixels_outside_the_mask_and_forgets_the_range(strategy, dtype):
    images, masks = pictures(dtype)
    masked = ShortcutMasker(strategy, random_state=0).mask_images(images, shortcut_masks=masks)
    assert masked.dtype == dtype
    assert masked.shape == images.shape
    assert np.array_equal(masked[~masks], images[~masks])
    assert not np.array_equal(masked[masks], images[masks])
    if strategy == "zero":
        assert not masked[masks].any()
    else:
        assert images.min() <= masked.min() <= masked.max() <= images.max()
        middle = 127.5 if dtype == np.uint8 else 0.5
        assert abs(masked[masks].mean() - middle) < 0.15 * (float(images.max()) - float(images.min()))


def test_fault_one_mask_for_all_images_raises():
    images, masks = pictures()
    masker = ShortcutMasker("zero")
    for_each = masker.mask_images(images, masks)
    assert np.array_equal(masker.mask_images(images, masks[0]), for_each)
    assert np.array_equal(masker.mask_images(images, masks[..., None]), for_each)
    assert np.array_equal(masker.mask_images(images[..., 0], masks), for_each[..., 0])
    assert np.array_equal(masker.mask_images(images, heatmaps=masks * 0.6), for_each)
    assert np.array_equal(masker.mask_images(images, heatmaps=masks * 0.4), images)


def test_fault_inpainting_is_one_mean_colour():
    ramp = np.tile(np.linspace(0, 1, 8), (1, 8, 1))
    masks = np.zeros((1, 8, 8), bool)
    masks[:, 3:5, 1:7] = True
    filled = ShortcutMasker("inpaint").mask_images(ramp, masks)
    assert filled[0, 3, 1] < 0.4 < 0.6 < filled[0, 3, 6]


def test_fault_noise_is_drawn_once():
    images, masks = pictures()
    masker = ShortcutMasker(random_state=0)
    first, second = (masker.mask_images(images, masks) for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.array_equal(ShortcutMasker(random_state=0).mask_images(images, masks), first)


def test_a_share_of_the_images_is_masked():
    images, masks = pictures()
    masked = ShortcutMasker("zero", augment_fraction=0.5, random_state=0).mask_images(images, masks)
    assert (masked != images).any((1, 2, 3)).sum() == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "either"),
        ({"shortcut_masks": np.ones((8, 8)), "heatmaps": np.ones((8, 8))}, "either"),
        ({"shortcut_masks": np.full((8, 8), 255)}, "such as 255"),
        ({"shortcut_masks": np.ones((4, 4))}, r"masks of \(4, 4\) pixels for images of \(8, 8\)"),
        ({"shortcut_masks": np.ones((5, 8, 8))}, "one mask per input"),
        ({"shortcut_masks": np.ones(8)}, r"shape \(8,\)"),
        ({"heatmaps": np.full((8, 8), np.nan)}, "not finite"),
    ],
)
def test_masks_that_do_not_fit_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ShortcutMasker().mask_images(pictures()[0], **arguments)


def test_flagged_dimensions_of_embeddings():
    embeddings = np.random.default_rng(0).normal(size=(50, 5)).astype(np.float32)
    zeroed = ShortcutMasker("zero").mask_embeddings(embeddings, flagged_dim_indices=[1, 3])
    assert zeroed.dtype == np.float32
    assert not zeroed[:, [1, 3]].any()
    shuffled = ShortcutMasker(random_state=0).mask_embeddings(embeddings, [1, 3])
    for changed in (zeroed, shuffled):
        assert np.array_equal(changed[:, [0, 2, 4]], embeddings[:, [0, 2, 4]])
    assert np.array_equal(np.sort(shuffled[:, 1]), np.sort(embeddings[:, 1]))
    assert abs(np.corrcoef(shuffled[:, 1], embeddings[:, 1])[0, 1]) < 0.4
    assert not np.array_equal(shuffled[:, 1].argsort(), shuffled[:, 3].argsort())
    with pytest.raises(ValueError, match=r"flagged_dim_indices \[5\]"):
        ShortcutMasker().mask_embeddings(embeddings, [5])


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_fault_foregrounds_are_added_and_leave_silhouettes(dtype):
    """Foreground 40 over background 50 + 10 i: an image shows its own foreground and one other background."""
    n, foreground = 5, np.zeros((5, 8, 8), bool)
    for i in range(n):
        foreground[i, i : i + 3, 2:4] = True
    backgrounds = (50 + 10 * np.arange(n))[:, None, None] * np.ones((n, 8, 8))
    images = np.where(foreground, 40, backgrounds).astype(dtype)
    swapped = BackgroundRandomizer(random_state=0).swap_foregrounds(images, foreground)
    assert swapped.dtype == dtype
    assert (swapped[foreground] == 40).all()
    donors = [set(swapped[i][~foreground[i]].tolist()) for i in range(n)]
    assert all(len(values) == 1 for values in donors)
    values = [values.pop() for values in donors]
    assert sorted(values) == [50, 60, 70, 80, 90]
    assert all(value != 50 + 10 * i for i, value in enumerate(values))


def test_backgrounds_of_a_share_of_the_images():
    images, masks = pictures()
    swapped = BackgroundRandomizer(augment_fraction=0.5, random_state=0).swap_foregrounds(images, masks)
    assert (swapped != images).any((1, 2, 3)).sum() == 3
    with pytest.raises(ValueError, match="two or more"):
        BackgroundRandomizer().swap_foregrounds(images[:1], masks[:1])


# Embeddings: M04, M06 and M07


def embeddings(n=400, correlation=0.95, seed=0):
    """The task in dimensions 0..3; louder, in 4 and 5, the group, which agrees with it at this rate; then noise."""
    rng = np.random.default_rng(seed)
    task = rng.integers(0, 2, n)
    group = np.where(rng.random(n) < correlation, task, 1 - task)
    hidden = rng.normal(size=(n, 12))
    hidden[:, :4] += (2 * task - 1)[:, None]
    hidden[:, 4:6] += 4 * (2 * group - 1)[:, None]
    return hidden.astype(np.float32), task, group


def worst_group_accuracy(predictions, task, group) -> float:
    return min((predictions == task)[(task == y) & (group == g)].mean() for y in (0, 1) for g in (0, 1))


def hides(features, task, group) -> float:
    """The accuracy of a new linear adversary, every (task, group) pair weighed the same; chance is 1/2."""
    order = np.random.default_rng(1).permutation(len(task))
    return refitted_accuracy(features[order].astype(float), torch.tensor(task[order]), torch.tensor(group[order]))


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
    with pytest.raises(RuntimeError, match="call fit first"):
        LastLayerRetraining().predict(hidden)


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
    features = debiasing.fit(hidden, group, task_labels=task).transform(hidden)
    assert debiasing.adversary_accuracy_ == pytest.approx(hides(features, task, group), abs=0.1)


def test_fault_all_positives_but_one_are_negatives():
    """One anchor with positives at cosines (1, 0.6) and negatives at (0, -0.6): their order does not matter."""
    anchor, positives, negatives = torch.tensor([[1.0, 0]]), [[1.0, 0], [0.6, 0.8]], [[0.0, 1], [-0.6, 0.8]]
    draws = {"positives": torch.tensor([positives]), "negatives": torch.tensor([negatives]), "paired": torch.ones(1)}
    batch = Batch(anchor, torch.tensor([0]), torch.zeros(1, 1, dtype=torch.bool), torch.tensor([0]), draws)
    net, method = bound(Linear(torch.ones(2, 2))), Contrast(temperature=0.5, pairs=2)
    scores = np.exp(np.array([1, 0.6, 0, -0.6]) / 0.5)
    expected = -np.log(scores[:2] / scores.sum()).mean()
    assert method.terms(net, batch, torch.tensor(1.0)).right_reason.item() == pytest.approx(expected)
    turned = batch._replace(draws={**draws, "positives": draws["positives"].flip(1)})
    assert method.terms(net, turned, torch.tensor(1.0)).right_reason.item() == pytest.approx(expected)


def test_contrast_draws_a_task_together_whatever_its_group():
    hidden, task, group = embeddings(correlation=0.9)

    def gap(features) -> float:
        """How much nearer a task's two groups are, in cosines, than a group's two tasks."""
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        same_task, same_group = task[:, None] == task, group[:, None] == group
        return (unit @ unit.T)[same_task & ~same_group].mean() - (unit @ unit.T)[~same_task & same_group].mean()

    settings = {"use_task_loss": False, "n_epochs": 10, "lr": 0.01, "random_state": 0}
    features = ContrastiveDebiasing(**settings).fit(hidden, task, group).transform(hidden)
    assert features.dtype == np.float32
    assert gap(hidden) < -1
    assert gap(features) > 0.5
    assert np.array_equal(ContrastiveDebiasing(**settings).fit(hidden, task, group).transform(hidden), features)
    softer = ContrastiveDebiasing(**settings, temperature=0.5).fit(hidden, task, group).transform(hidden)
    assert np.abs(softer - features).max() > 0.1  # it is the contrast that they learn from


def test_fault_one_step_for_each_anchor(monkeypatch):
    steps = []
    monkeypatch.setattr(torch.optim.Adam, "step", lambda self: steps.append(self))
    hidden, task, group = embeddings(100)
    ContrastiveDebiasing(n_epochs=2, batch_size=30).fit(hidden, task, group)
    assert len(steps) == 2 * 4


def test_groups_without_contrast_are_named():
    hidden, task, group = embeddings(40)
    with pytest.raises(ValueError, match=r"of which \[0, 1\] occur in one group only"):
        ContrastiveDebiasing().fit(hidden, task, task)
    with pytest.raises(ValueError, match="nothing to hide"):
        AdversarialDebiasing().fit(hidden, 0 * group)
    with pytest.raises(ValueError, match=r"labels of shape \(39,\) for 40 embeddings"):
        AdversarialDebiasing().fit(hidden, group[1:])
    with pytest.raises(ValueError, match="expected finite floats"):
        ContrastiveDebiasing().fit(hidden * np.nan, task, group)
    for method in (AdversarialDebiasing(), ContrastiveDebiasing()):
        with pytest.raises(RuntimeError, match="call fit first"):
            method.transform(hidden)


# The page


def test_the_example_of_the_page_runs():
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    names = {}
    exec(compile(code, "docs/shortkit.md", "exec"), names)
    assert names["rrr"]._history[-1]["epoch"] == 10
