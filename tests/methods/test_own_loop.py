from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from rrrbench.datasets.as_mask import as_mask
from rrrbench.datasets.base import Batch
from rrrbench.methods import rrr_loss
from rrrbench.methods.loss_inputs import check_device
from rrrbench.methods.mitigations.rrr import RRR
from rrrbench.methods.network import Net
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint


def model(dtype=torch.float64) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Module()
    network.features = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh())
    network.head = nn.Linear(8, 3)
    network.forward = lambda x: network.head(network.features(x))
    return network.to(dtype)


def data(dtype=torch.float64):
    torch.manual_seed(1)
    mask = torch.zeros(5, 1, 3, 4, dtype=torch.bool)
    mask[:, :, 0, :2] = True
    return torch.rand(5, 1, 3, 4, dtype=dtype), torch.tensor([0, 1, 2, 0, 1]), mask


def gradients(loss, network):
    return torch.autograd.grad(loss, list(network.parameters()), materialize_grads=True)


def test_it_is_the_mitigations_loss():
    network, (x, y, mask) = model(), data()
    terms = RRR().terms(Net(network, dict(network.named_parameters())), Batch(x, y, mask, y), torch.tensor(0.3))
    loss = rrr_loss(network, x, y, mask, 0.3)
    torch.testing.assert_close(loss, sum(terms))
    torch.testing.assert_close(gradients(loss, network), gradients(sum(terms), network))


@pytest.mark.parametrize("nothing", ["strength", "mask"])
def test_strength_0_and_an_empty_mask_are_cross_entropy_bit_for_bit(nothing):
    network, (x, y, mask) = model(), data()
    loss = rrr_loss(network, x, y, mask, 0) if nothing == "strength" else rrr_loss(network, x, y, mask & False, 1.0)
    plain = F.cross_entropy(network(x), y)
    assert torch.equal(loss, plain)
    assert all(torch.equal(a, b) for a, b in zip(gradients(loss, network), gradients(plain, network), strict=True))


def test_the_penalty_reaches_the_weights():
    network, (x, y, mask) = model(), data()
    with_penalty, without = (gradients(rrr_loss(network, x, y, mask, s), network) for s in (10.0, 0.0))
    assert any((a - b).norm() > 1e-3 for a, b in zip(with_penalty, without, strict=True))


def by_hand(network, x, y, mask, strength):
    """A plain loop's loss: x is where the input gradient is taken, and x may belong to a graph."""
    log_probs = network(x).log_softmax(1)
    (gradient,) = torch.autograd.grad(log_probs.sum(), x, create_graph=True)
    return F.nll_loss(log_probs, y) + strength * (gradient * mask).square().flatten(1).sum(1).mean()


@pytest.mark.parametrize("strength", [0.0, 0.3, 5.0])
def test_inputs_of_a_graph_pass_the_gradient_on(strength):
    network, (x, y, mask) = model(), data()
    augmentation = nn.Conv2d(1, 1, 3, padding=1).double()
    parameters = [*augmentation.parameters(), *network.parameters()]
    found, expected = (
        torch.autograd.grad(loss(network, augmentation(x), y, mask, strength), parameters, materialize_grads=True)
        for loss in (rrr_loss, by_hand)
    )
    assert all(gradient.any() for gradient in found[:2])
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_inputs_that_require_gradients_get_those_of_a_plain_loop():
    network, (x, y, mask) = model(), data()
    found, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
    rrr_loss(network, found, y, mask, 0.3).backward()
    by_hand(network, expected, y, mask, 0.3).backward()
    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-12, atol=1e-14)


def test_a_model_that_writes_into_inputs_of_a_graph_is_refused_too():
    network, (x, y, mask) = model(), data()
    augmentation = nn.Conv2d(1, 1, 3, padding=1).double()
    for write in (lambda inputs: inputs.clamp_(0, 1), lambda inputs: inputs.flatten(1).sub_(0.5).view_as(inputs)):
        with pytest.raises(ValueError, match=r"writes into its inputs.*inputs\.clone\(\)"):
            rrr_loss(lambda inputs, write=write: network(write(inputs)), augmentation(x), y, mask, 0.3)


def test_the_callers_things_are_left_alone():
    network, (x, y, mask) = model(), data()
    rrr_loss(network, x, y, mask, 1.0)
    assert not x.requires_grad
    assert x.grad is None
    assert network.training
    assert all(p.grad is None for p in network.parameters())


def test_batchnorm_penalty_uses_running_statistics_and_says_so():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)).double()
    x, y, mask = data()
    with pytest.warns(UserWarning, match="running statistics"):
        loss = rrr_loss(network, x, y, mask, 2.0)
    assert network[2].training
    training_answer = F.cross_entropy(network(x), y)
    network.eval()
    penalty = rrr_loss(network, x, y, mask, 2.0) - F.cross_entropy(network(x), y)
    # running statistics moved by one training pass in between: compare the sign and the magnitude
    assert loss - training_answer > 0
    torch.testing.assert_close(loss - training_answer, penalty, rtol=0.3, atol=0)


def test_no_grad_and_inference_mode_say_what_to_do():
    network, (x, y, mask) = model(), data()
    with torch.no_grad(), pytest.raises(RuntimeError, match=r"torch\.enable_grad"):
        rrr_loss(network, x, y, mask, 1.0)
    with torch.inference_mode(), pytest.raises(RuntimeError, match="inference_mode"):
        rrr_loss(network, x, y, mask, 1.0)
    with torch.no_grad():
        assert rrr_loss(network, x, y, mask, 0.0).isfinite()


def test_autocast_keeps_the_penalty_alive():
    network, (x, y, mask) = model(torch.float32), data(torch.float32)
    exact = rrr_loss(network, x, y, mask, 1.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = rrr_loss(network, x, y, mask, 1.0)
    assert low.requires_grad
    torch.testing.assert_close(low.float(), exact, rtol=0.05, atol=0.05)  # bfloat16 has 8 bits of mantissa


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Linear(4, 16), nn.Linear(16, 3)

    def forward(self, x):
        tokens = self.embed(x[:, 0])[:, None].expand(-1, 2, -1, -1).contiguous()
        return self.head(F.scaled_dot_product_attention(tokens, tokens, tokens).mean((1, 2)))


def test_fused_attention_names_the_math_backend():
    network, (x, y, mask) = Attends(), data(torch.float32)
    with pytest.raises(RuntimeError, match=r"SDPBackend\.MATH"):
        rrr_loss(network, x, y, mask, 1.0)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        rrr_loss(network, x, y, mask, 1.0).backward()
    assert network.embed.weight.grad is not None


def test_a_layer_without_a_second_derivative_is_named_with_its_replacement():
    network, (x, y, mask) = nn.Sequential(nn.Flatten(), nn.LazyLinear(3), nn.Hardsigmoid()), data(torch.float32)
    with pytest.raises(RuntimeError, match=r"Hardsigmoid.* has no double backward: write .*relu6\(x \+ 3\) / 6"):
        rrr_loss(network, x, y, mask, 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strength": -1.0}, "must be finite and not negative"),
        ({"strength": float("nan")}, "must be finite and not negative"),
        ({"mask": torch.full((5, 1, 3, 4), 255)}, "such as 255: all 5 masks are 255 everywhere, and a constant mask"),
        ({"mask": 2 * data()[2].int() - 1}, "its two values are -1 and 1: pass mask > -1 if 1 marks"),
        ({"mask": 255 * data()[2].int()}, "its two values are 0 and 255: pass mask > 0 if 255 marks"),
        ({"mask": torch.rand(5, 1, 3, 4)}, r"of a heatmap, the pixels above a threshold, e\.g\. mask > 0\."),
        ({"mask": torch.randn(5, 1, 3, 4)}, "of a heatmap"),
        ({"mask": torch.ones(5, 1, 3, 4).numpy()}, r"mask is a ndarray: pass a tensor, e\.g\. torch\.as_tensor"),
        ({"mask": None}, "mask is a NoneType"),
        ({"labels": torch.tensor([0, 1, 2, 0, -1])}, r"range over \[-1, 2\]"),
        ({"labels": torch.tensor([0.0, 1.0, 2.0, 0.0, 1.0])}, r"labels are torch\.float32.*labels\.long\(\)"),
        ({"labels": torch.tensor([0, 1, 2, 0])}, r"labels have shape \(4,\), expected \(5,\)"),
        ({"labels": torch.tensor([[0], [1], [2], [0], [1]])}, r"labels have shape \(5, 1\)"),
        ({"labels": torch.full((5, 3), 1 / 3)}, "are not one-hot: pass class indices"),
        ({"labels": torch.ones(5, 3)}, "are not one-hot"),
        ({"labels": [0, 1, 2, 0, 1]}, "labels are a list"),
        ({"inputs": torch.zeros(0, 1, 3, 4)}, "at least one input"),
        ({"inputs": torch.full((5, 1, 3, 4), float("inf"))}, "input 0 of the batch is not finite"),
        ({"inputs": torch.tensor([0.0, 1, 2, float("nan"), 4]).view(5, 1, 1, 1).expand(5, 1, 3, 4)}, "input 3 of"),
        ({"mask": torch.full((5, 1, 3, 4), float("nan"))}, "such as nan"),
        ({"mask": torch.ones(3, 4)}, "one mask per input"),
        ({"labels": torch.tensor([0, 1, 2, 0, 7])}, r"range over \[0, 7\]"),
        ({"inputs": torch.zeros(5, 1, 3, 4, dtype=torch.uint8)}, "need floats"),
        ({"inputs": torch.zeros(5, 1, 3, 4, dtype=torch.complex64)}, r"need floats, e\.g\. torch\.view_as_real"),
        ({"inputs": torch.zeros(5, 1, 3, 4).to(torch.float8_e4m3fn)}, r"float8_e4m3fn.*pass inputs\.float"),
        ({"inputs": torch.tensor(1.0)}, r"inputs have shape \(\), expected \(batch, \.\.\.\)"),
        ({"inputs": torch.zeros(5, 1, 3, 4).to_sparse()}, r"inputs of layout torch\.sparse_coo.*inputs\.to_dense"),
        ({"inputs": torch.zeros(5, 1, 3, 4, device="meta")}, "inputs on the device meta have no values"),
        (
            {"inputs": torch.nested.nested_tensor([torch.zeros(4)] * 5, layout=torch.jagged)},
            r"nested.*inputs\.to_padded_tensor\(0\)",
        ),
        ({"mask": torch.zeros(5, 1, 3, 4).to_sparse()}, r"mask of layout torch\.sparse_coo.*mask\.to_dense"),
        ({"mask": torch.zeros(5, 1, 3, 4, dtype=torch.bool, device="meta")}, "mask on the device meta"),
        ({"labels": torch.eye(3)[data()[1]].to_sparse()}, r"labels of layout .*labels\.to_dense"),
        ({"labels": torch.eye(3)[data()[1]].to(torch.complex64)}, r"labels are torch\.complex64: class indices"),
        ({"strength": 10**400}, "strength = inf must be finite"),
        (
            {"strength": torch.tensor(1j)},
            r"strength is Tensor of torch\.complex64 and shape \(\): pass a single number",
        ),
        ({"strength": torch.tensor(True)}, r"strength is Tensor of torch\.bool"),
    ],
)
@pytest.mark.usefixtures("shapes_unchecked")
def test_bad_input_is_named(change, message):
    x, y, mask = data()
    arguments = {"inputs": x, "labels": y, "mask": mask, "strength": 1.0, **change}
    with warnings.catch_warnings(), pytest.raises(ValueError, match=message):
        rrr_loss(model(), **arguments)


@pytest.mark.parametrize(
    "values", [(-1.0, 1.0), (0.6, 0.9), (0.6, 0.7, 1.0), (-3, -2, -1), (0, 128, 255), (0.1234567, 0.1234568)]
)
@pytest.mark.usefixtures("shapes_unchecked")
def test_the_threshold_that_is_named_separates_the_masks_values(values):
    mask = torch.tensor(values)
    with pytest.raises(ValueError, match="mask > ") as error:
        as_mask(mask, mask.shape)
    above = mask > float(re.search(r"mask > (\S+)", str(error.value))[1])
    assert above.any()
    assert not above.all()


INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint32, torch.uint64)


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.usefixtures("shapes_unchecked")
def test_labels_of_every_integer_type_and_one_hot_labels_give_the_same_loss(dtype):
    network, (x, y, mask) = model(), data()
    expected = rrr_loss(network, x, y, mask, 2.0)
    assert torch.equal(rrr_loss(network, x, y.to(dtype), mask, 2.0), expected)
    assert torch.equal(rrr_loss(network, x, F.one_hot(y, 3).to(dtype), mask, 2.0), expected)
    assert torch.equal(rrr_loss(network, x, F.one_hot(y, 3).double(), mask, 2.0), expected)
    assert torch.equal(
        rrr_loss(network, x, F.one_hot(y, 3), torch.zeros_like(mask), 2.0), F.cross_entropy(network(x), y)
    )


@pytest.mark.usefixtures("shapes_unchecked")
def test_one_hot_labels_and_strengths_of_every_type_give_the_same_loss():
    network, (x, y, mask) = model(), data()
    expected = rrr_loss(network, x, y, mask, 0.5)
    assert torch.equal(rrr_loss(network, x, F.one_hot(y, 3).bool(), mask, 0.5), expected)
    for strength in (Fraction(1, 2), np.float32(0.5), torch.tensor(0.5)):
        assert torch.equal(rrr_loss(network, x, y, mask, strength), expected)


def test_inputs_without_features_are_numbers():
    """Of logits (x, -x) the sum of log p is -2 log(e^x + e^-x), whose derivative is -2 tanh x."""
    x, y = torch.tensor([0.1, 0.5, 2.0], dtype=torch.float64), torch.tensor([0, 1, 0])
    for strength, mask in ((0.0, x > 0), (3.0, x > 0.3)):
        loss = rrr_loss(lambda v: torch.stack((v, -v), 1), x, y, mask, strength)
        penalty = (4 * x.tanh().square() * mask).mean()
        torch.testing.assert_close(loss, F.cross_entropy(torch.stack((x, -x), 1), y) + strength * penalty)


@dataclass
class Wrapped:
    """A callable that is no key of a dictionary."""

    network: nn.Module

    def __call__(self, inputs):
        return self.network(inputs)


def test_a_model_that_no_dictionary_holds_is_taken_and_checked():
    network, (x, y, mask) = model(), data()
    for _ in range(2):
        assert torch.equal(rrr_loss(Wrapped(network), x, y, mask, 1.0), rrr_loss(network, x, y, mask, 1.0))
    with pytest.raises(ValueError, match="couples the inputs"):
        rrr_loss(Wrapped(nn.Sequential(model(), Returned(lambda z: z - z.mean(0)))), x, y, mask, 1.0)


class Returned(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, z):
        return self.function(z)


NOT_FINITE = {
    "root": (lambda x: (x - 0.5).sqrt(), r"Sequential gives logits \[nan, nan, nan\] for input 0 of the batch"),
    "logarithm": (lambda x: torch.where(x == x[3], -1, x).log(), r"logits \[nan, nan, nan\] for input 3 of the batch"),
    "quotient": (lambda x: x / 0, r"gives logits \[nan"),
    "root at 0": (lambda x: x + (x - x).sqrt(), "input gradient of Sequential is not finite for input 0.*small number"),
    "norm at 0": (lambda x: x + (x - x).norm(dim=3, keepdim=True), ""),  # torch's subgradient
    "distance": (lambda x: x + (x - x).square().sum(3, keepdim=True).sqrt(), "input gradient of Sequential is not fin"),
}


@pytest.mark.parametrize(("function", "message"), NOT_FINITE.values(), ids=NOT_FINITE)
def test_values_that_the_model_makes_not_finite_are_named(function, message):
    network, (x, y, mask) = nn.Sequential(Returned(function), model()), data()
    if not message:
        assert rrr_loss(network, x, y, mask, 1.0).isfinite()
        return
    with pytest.raises(ValueError, match=message):
        rrr_loss(network, x, y, mask, 1.0)
    plain = F.cross_entropy(network(x), y)  # without a penalty the loss is a plain loop's, NaN included
    torch.testing.assert_close(rrr_loss(network, x, y, mask, 0.0), plain, equal_nan=True, rtol=0, atol=0)


def test_a_class_that_is_ruled_out_by_minus_infinity_is_taken():
    ruled_out = nn.Sequential(
        model(), Returned(lambda z: z.masked_fill(torch.tensor([False, False, True]), -torch.inf))
    )
    x, _, mask = data()
    assert rrr_loss(ruled_out, x, torch.tensor([0, 1, 0, 1, 0]), mask, 1.0, target="log_prob_true").isfinite()


def test_a_re_entrant_checkpoint_is_named_with_the_way_out_which_gives_the_same_loss():
    network, (x, y, mask) = model(), data()
    with pytest.raises(RuntimeError, match=r"Checkpoint.* pass use_reentrant=False"):
        rrr_loss(lambda inputs: checkpoint(network, inputs, use_reentrant=True), x, y, mask, 1.0)
    loss = rrr_loss(lambda inputs: checkpoint(network, inputs, use_reentrant=False), x, y, mask, 1.0)
    torch.testing.assert_close(loss, rrr_loss(network, x, y, mask, 1.0))


class Returns(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.dense, self.function = nn.Linear(12, 3).double(), function

    def forward(self, x):
        return self.function(self.dense(x.flatten(1)), x)


@pytest.mark.parametrize("strength", [0.0, 1.0])
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda z, x: (z, x), "returns a tuple: wrap it in a module whose forward returns the logits alone"),
        (lambda z, x: {"logits": z}, "returns a dict"),
        (lambda z, x: [z], "returns a list"),
        (lambda z, x: z[:, :, None, None].expand(-1, -1, 3, 4), r"returns \(5, 3, 3, 4\) for 5 inputs"),
        (lambda z, x: z[:, 0], r"returns \(5,\) for 5 inputs, expected \(batch, classes\)"),
        (lambda z, x: z.mean(0, keepdim=True), r"returns \(1, 3\) for 5 inputs"),
        (lambda z, x: (9 * z).long(), r"returns torch\.int64, and logits are floats"),
        (lambda z, x: z > 0, r"returns torch\.bool, and logits are floats"),
        (
            lambda z, x: torch.fft.fft(z),
            r"returns torch\.complex128.*give output\.real or output\.abs",
        ),
        (lambda z, x: z.to_sparse(), r"returns logits of layout torch\.sparse_coo: give output\.to_dense"),
        (lambda z, x: z.sum(), r"returns \(\) for 5 inputs"),
    ],
)
@pytest.mark.usefixtures("shapes_unchecked")
def test_an_output_that_is_not_one_row_of_logits_an_input_is_refused(function, message, strength):
    x, y, mask = data()
    with pytest.raises(ValueError, match=message):
        rrr_loss(Returns(function), x, y, mask, strength)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.SyncBatchNorm])
@pytest.mark.parametrize("training", [True, False])
def test_batchnorm_without_running_statistics_is_refused(norm, training):
    layers = nn.Flatten(), nn.Linear(12, 8), norm(8, track_running_stats=False), nn.Linear(8, 3)
    network, (x, y, mask) = nn.Sequential(*layers).double().train(training), data()
    with pytest.raises(
        ValueError, match=r"2 \(\w+\) keeps no running statistics.*track_running_stats=True, or take Group"
    ):
        rrr_loss(network, x, y, mask, 1.0)


def dense(z):
    """A model whose logits are a function of a linear layer's."""
    return Returns(lambda logits, x: z(logits))


COUPLED = {
    "functional BatchNorm": lambda z: F.batch_norm(z, None, None, training=True),
    "a mean over the batch": lambda z: z - z.mean(0),
    "a detached mean": lambda z: z - z.mean(0).detach(),
    "attention over the batch": lambda z: z + (z @ z.T).softmax(1) @ z,
}


@pytest.mark.parametrize("coupling", COUPLED)
@pytest.mark.parametrize("training", [True, False])
def test_a_model_that_couples_inputs_is_refused(coupling, training):
    network, (x, y, mask) = dense(COUPLED[coupling]).train(training), data()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"Returns couples the inputs of a batch.*GroupNorm"):
            rrr_loss(network, x, y, mask, 1.0)
    with pytest.raises(ValueError, match="couples the inputs"):
        rrr_loss(lambda inputs: network(inputs), x, y, mask, 1.0)


class BatchStatistics(nn.Module):
    def forward(self, features):
        return F.batch_norm(features, None, None, training=True)


class DetachedMean(nn.Module):
    def forward(self, features):
        return features - features.mean(0).detach()


class Gated(nn.Module):
    """Adds to the features a coupled branch times a gate, which begins at zero or nearly."""

    def __init__(self, branch, gate=0.0) -> None:
        super().__init__()
        self.branch, self.gate = branch, nn.Parameter(torch.tensor(gate, dtype=torch.float64))

    def forward(self, features):
        return features + self.gate * self.branch(features)


class AlongTheBatch(nn.Module):
    """A recurrence without `batch_first`: its time is the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.GRU(8, 8)

    def forward(self, features):
        return self.cells(features[:, None])[0][:, 0]


class AfterSteps(nn.Module):
    """Couples inputs from its 16th pass on."""

    steps = 0

    def forward(self, features):
        self.steps += 1
        return features - features.mean(0) if self.steps > 15 else features


def zeros(layer: nn.Linear) -> nn.Linear:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


HIDDEN = {
    "a head of zeros": lambda: (BatchStatistics(), zeros(nn.Linear(8, 3))),
    "a detached mean, a head of zeros": lambda: (DetachedMean(), zeros(nn.Linear(8, 3))),
    "a residual of zeros, a head of zeros": lambda: (Gated(BatchStatistics()), zeros(nn.Linear(8, 3))),
    "a residual of zeros": lambda: (Gated(BatchStatistics()), nn.Linear(8, 3)),
    "a scale of 1e-12": lambda: (Gated(BatchStatistics(), 1e-12), nn.Linear(8, 3)),
    "a recurrence along the batch": lambda: (AlongTheBatch(), nn.Linear(8, 3)),
    "a coupling after steps": lambda: (AfterSteps(), nn.Linear(8, 3)),
}


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.filterwarnings("ignore:the input gradient of Sequential is exactly 0")
def test_a_coupling_that_the_first_call_does_not_show_is_refused_in_the_next_steps(hidden, training):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), *HIDDEN[hidden]()).double().train(training)
    with pytest.raises(ValueError, match="Sequential couples the inputs of a batch"):
        train(network, steps=32)


def train(network, steps) -> None:
    (x, y, mask), optimizer = data(), torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        rrr_loss(network, x, y, mask, 1.0).backward()
        optimizer.step()


def calls_of(network, x, y, mask) -> list[int]:
    """The sizes of the batches in five calls."""
    sizes = []
    network.register_forward_hook(lambda module, given, output: sizes.append(len(output)))
    for _ in range(5):
        rrr_loss(network, x, y, mask, 1.0)
    return sizes


def test_dropout_is_no_coupling_and_the_check_is_made_at_calls_1_2_and_4():
    assert calls_of(dense(nn.Dropout(0.5)), *data()) == [5, 2, 2, 5, 2, 2, 5, 5, 2, 2, 5]


@pytest.mark.filterwarnings("ignore:the input gradient of Sequential is exactly 0")
def test_the_check_is_made_at_each_call_while_the_logits_do_not_depend_on_the_inputs():
    assert calls_of(nn.Sequential(nn.Flatten(), zeros(nn.Linear(12, 3).double())), *data()) == [5, 2, 2] * 5


def test_a_function_gives_its_modules_loss():
    network, (x, y, mask) = model(), data()
    expected = rrr_loss(network, x, y, mask, 1.0)
    assert torch.equal(rrr_loss(lambda inputs: network(inputs), x, y, mask, 1.0), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": nn.Linear}, r"model is the class Linear: pass an instance, such as Linear\(\.\.\.\)"),
        ({"model": {"weights": 1}}, "model is a dict: pass a torch.nn.Module or a function"),
        ({"inputs": data()[0].numpy()}, r"inputs are a ndarray: pass a tensor, e\.g\. torch\.as_tensor"),
        (
            {"inputs": data()[0].float()},
            r"inputs have dtype torch.float32, the parameters of Module torch.float64",
        ),
        ({"strength": "1"}, "strength is str '1': pass a single number"),
        ({"strength": torch.ones(2)}, r"strength is Tensor of .*shape \(2,\): pass a single number"),
        ({"target": "abc"}, "target = 'abc' is no target: known: cross_entropy"),
        ({"target": "log_prob"}, "did you mean log_prob_"),
        ({"model": dense(lambda z: z[:, :1]), "labels": torch.zeros(5).long()}, r"returns \(5, 1\).*torch\.cat"),
        ({"model": dense(lambda z: z.softmax(1))}, "gives probabilities.*remove the softmax"),
    ],
)
@pytest.mark.usefixtures("shapes_unchecked")
def test_an_argument_that_does_not_fit_is_named_with_the_way_out(changes, message):
    x, y, mask = data()
    arguments = {"model": model(), "inputs": x, "labels": y, "mask": mask, "strength": 1.0, **changes}
    with pytest.raises(ValueError, match=message):
        rrr_loss(**arguments)


@pytest.mark.parametrize("name", ["inputs", "labels", "mask"])
def test_inference_tensors_are_named(name):
    arguments = dict(zip(("inputs", "labels", "mask"), data(), strict=True))
    with torch.inference_mode():
        arguments[name] = arguments[name].clone()
    with pytest.raises(ValueError, match=rf"{name} .*inference_mode.*pass {name}\.clone\(\)"):
        rrr_loss(model(), **arguments, strength=1.0)


def test_a_model_that_rounds_its_inputs_is_named():
    network, (x, y, mask) = model(), data()
    rounding = nn.Sequential(Rounds(), network)
    with pytest.warns(UserWarning, match="input gradient of Sequential is exactly 0.*round"):
        rrr_loss(rounding, x, y, mask, 1.0)
    with pytest.raises(RuntimeError, match="no input gradient"):
        rrr_loss(lambda inputs: network(inputs.detach()), x, y, mask, 1.0)


class Rounds(nn.Module):
    def forward(self, x):
        return x.round()


@pytest.mark.long
def test_a_compiled_model_has_the_penalty_of_its_module():
    network, (x, y, mask) = model(), data()
    compiled = torch.compile(network, backend="aot_eager")
    torch.testing.assert_close(rrr_loss(compiled, x, y, mask, 0.3), rrr_loss(network, x, y, mask, 0.3))


def test_pixels_of_bytes_are_warned_of():
    network, (x, y, mask) = model(), data()
    with pytest.warns(UserWarning, match=r"whole numbers up to 2\d\d: .*divide them by 255"):
        rrr_loss(network, (255 * x).round(), y, mask, 0.3)
    with pytest.warns(UserWarning, match=r"images with values up to 2\d\d\.?\d*: .*divide them by 255"):
        rrr_loss(network, 255 * x, y, mask, 0.3)  # resized, or blended
    rrr_loss(network, 500 * x - 250, y, mask, 0.3)  # in a unit of their own
    rrr_loss(nn.Sequential(nn.Unflatten(1, (1, 3, 4)), network), 255 * x.flatten(1), y, mask.flatten(1), 0.3)  # a table


def test_a_model_that_writes_into_its_inputs_is_refused_with_the_way_out():
    network, (x, y, mask) = model(), data()
    for write in (lambda inputs: inputs.clamp_(0, 1), lambda inputs: inputs.flatten(1).sub_(0.5).view_as(inputs)):
        with pytest.raises(ValueError, match=r"writes into its inputs.*inputs\.clone\(\)"):
            rrr_loss(lambda inputs, write=write: network(write(inputs)), x, y, mask, 0.3)


def test_tensors_on_another_device_are_named():
    with pytest.raises(ValueError, match=r"mask on meta, inputs on cpu: pass mask\.to\('cpu'\)"):
        check_device(torch.device("cpu"), "inputs", mask=torch.zeros(1, device="meta"))
