"""ShortKit-ML's M05: a test for each fault that the original is known to have, by its name.

Trains on 7 images of 4x4 for a step or two; repairs on 200 images of 6x6.
"""

from __future__ import annotations

from collections import namedtuple
from copy import deepcopy

import numpy as np
import pytest
import torch
from rrrbench.benchmark.compat.shortkit import ExplanationRegularization
from rrrbench.benchmark.compat.shortkit.regularization_inputs import masks_for
from rrrbench.methods import rrr_loss
from small import small_dataset
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

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


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
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
    wide = torch.zeros(1, 2, 8)
    wide[0, 0, 4:] = 1
    assert torch.equal(masks_for(wide, torch.Size((N, CHANNELS, SIDE, SIDE))), resized)
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
        (1.5, "its two values are 0 and 1.5"),
    ],
)
def test_fault_masks_of_any_value_are_accepted(value, message):
    network, (_, _, masks) = model(), data()
    with pytest.raises(ValueError, match=message):
        fit(network, masks=masks * value)
    assert torch.equal(weights(network), weights(model()))


def test_soft_masks_weigh_the_squared_gradient():
    """As ShortKit-ML's do: a mask of 0.25 asks a quarter of what a mask of 1 asks."""
    _, _, masks = data()
    assert penalty(masks=0.25 * masks) == pytest.approx(0.25 * penalty(masks=masks), rel=1e-12)
    mixed = masks.copy()
    mixed[:, :, :2] *= 0.5
    left, right = masks.copy(), masks.copy()
    left[:, :, 2:], right[:, :, :2] = 0, 0
    assert penalty(masks=mixed) == pytest.approx(0.5 * penalty(masks=left) + penalty(masks=right), rel=1e-12)
    enlarged = mixed.repeat(2, 1).repeat(2, 2)
    assert torch.equal(masks_for(enlarged, torch.Size((N, CHANNELS, SIDE, SIDE)))[:, 0], torch.tensor(mixed))


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_training_needs_no_gradients_of_the_caller(off):
    _, expected = fit()
    network, (images, labels, masks) = model(), data()
    with off():
        ExplanationRegularization(random_state=0, n_epochs=2).fit(network, images.clone(), labels, masks)
    assert torch.equal(weights(network), weights(expected))


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
        ({"network": nn.Sequential(nn.Flatten(), nn.Linear(32, 1), nn.Flatten(0)).double()}, r"returns \(7,\) for 7"),
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


class Centred(nn.Module):
    def forward(self, hidden):
        return hidden - hidden.mean(0)


class Shifting(nn.Module):
    def forward(self, images):
        return images.sub_(0.5)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (nn.Sequential(model(), nn.Softmax(1)), "gives probabilities.*remove the softmax"),
        (
            nn.Sequential(model(), nn.BatchNorm1d(CLASSES, track_running_stats=False).double()),
            "keeps no running statistics",
        ),
        (nn.Sequential(model(), Centred()), "Sequential couples the inputs of a batch"),
        (nn.Sequential(Shifting(), model()), r"Sequential writes into its inputs.*inputs\.clone"),
    ],
)
def test_a_model_whose_penalty_would_be_of_something_else_is_refused(network, message):
    before = weights(network)
    with pytest.raises(ValueError, match=message):
        fit(network)
    assert torch.equal(before, weights(network))


@pytest.mark.parametrize("begins", ["head", "gate"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_coupling_that_zeros_hide_before_the_first_step_is_refused_in_the_next_steps(begins):
    network = nn.Sequential(model()[:3], Gated(1.0 if begins == "head" else 0.0), model()[3]).double()
    if begins == "head":
        nn.init.zeros_(network[2].weight)
    with pytest.raises(ValueError, match="Sequential couples the inputs of a batch"):
        fit(network, n_epochs=20, lr=0.01)


class Gated(nn.Module):
    def __init__(self, gate) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.tensor(gate))

    def forward(self, hidden):
        return hidden - self.gate * hidden.mean(0)


class CentredInTraining(nn.Module):
    def forward(self, hidden):
        return hidden - hidden.mean(0) if self.training else hidden


def test_a_coupling_in_training_alone_is_refused():
    with pytest.raises(ValueError, match="Sequential couples the inputs of a batch"):
        fit(nn.Sequential(model(), CentredInTraining()))


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
