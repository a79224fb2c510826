"""Networks from a user's own functions: what they are called with, how they are split, and that they are trained."""

from __future__ import annotations

import pytest
import torch
from rrrbench.benchmark.conformance.network_laws import a_plain_loop_trains_the_same
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.networks.check import check
from rrrbench.benchmark.networks.module import built, split
from rrrbench.datasets import own_code
from rrrbench.datasets.registry import BadParameters
from rrrbench.methods.mitigations.rrr import RRR
from small import small_dataset
from torch import nn

SOURCE = """
import torch
import torchvision
from os import system
from torch import nn

class Residual(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.act, self.again, self.fc = nn.ReLU(inplace=True), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, classes)
        self.norm.running_mean.uniform_(-0.2, 0.2)

    def forward(self, x):
        hidden = self.act(self.norm(self.conv(x)))
        hidden = hidden + self.act(self.again(hidden))
        return self.fc(hidden.mean((2, 3)))

def residual(classes):
    torch.manual_seed(3)
    return Residual(classes)

def vit(classes):
    return torchvision.models.VisionTransformer(
        image_size=6, patch_size=3, num_layers=2, num_heads=2, hidden_dim=8, mlp_dim=12, num_classes=classes
    )

class Colour(nn.Module):
    def forward(self, x):
        return x.expand(-1, 3, -1, -1)

def grey_vit(classes):
    return nn.Sequential(Colour(), vit(classes))

def dense(features, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(features[1] * features[2], 5), nn.Tanh(), nn.Linear(5, classes))

def nothing():
    return None

def needy(width):
    return nn.Linear(width, 3)

def with_dropout(features, classes):
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(36, classes))
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "my_own_nets.py"
    path.write_text(SOURCE)
    with own_code.temporary():
        own_code.load([path])
        yield path


def recipe(function: str, **parameters):
    return networks.resolve({"name": "module", "build": f"my_own_nets:{function}", **parameters})


@pytest.mark.long
@pytest.mark.parametrize("engine", ["stacked", pytest.param("single", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        ("residual", {"batch_norm": "frozen"}),
        ("residual", {"batch_norm": "group", "freeze": "features"}),
        ("grey_vit", {}),
        ("dense", {}),
    ],
)
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_it_is_trained_as_by_a_plain_loop(own, function, parameters, engine):
    """By RRR in float64, two seeds, at two strengths."""
    a_plain_loop_trains_the_same(recipe(function, **parameters), RRR(), engine)


def test_the_last_linear_layer_is_the_head_and_the_network_is_the_same(own):
    draw = small_dataset()
    network = recipe("residual", batch_norm="frozen").build(draw, 0)
    assert isinstance(network.head, nn.Linear)
    whole = own_code.defined("my_own_nets", "residual")(3).eval()
    inputs = draw.train.inputs
    torch.testing.assert_close(network(inputs), whole(inputs))


def test_a_sequential_is_split_layer_by_layer(own):
    network = recipe("dense").build(small_dataset(), 0)
    kinds = [type(layer).__name__ for layer in network.features]
    assert kinds == ["PixelRange", "Flatten", "Linear", "Tanh"]


class Both(nn.Module):
    """Two linear layers in parallel: neither is the head."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.one(x) + self.other(x)


class Own(nn.Module):
    """`features` and `head`, but not their composition."""

    def __init__(self):
        super().__init__()
        self.features, self.head = nn.Sequential(nn.Tanh()), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(2 * self.features(x))


class Twice(nn.Module):
    """Uses the last linear layer in the middle too."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(self.linear(x).tanh())


def hooked(kind):
    """A Sequential whose hook changes what goes in, or what comes out."""
    network = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3))
    if kind == "before":
        network.register_forward_pre_hook(lambda module, given: (2 * given[0] - 1,))
    elif kind == "after":
        network.register_forward_hook(lambda module, given, output: 3 * output)
    else:
        network.forward = lambda inputs, forward=network.forward: forward(inputs) ** 2
    return network


class Frozen(nn.Module):
    """Trains the head of `features` alone, by what `between` does with gradients on their way back."""

    def __init__(self, between):
        super().__init__()
        self.features, self.head, self.between = nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 3), between

    def forward(self, x):
        return self.head(self.between(self.features(x)))


class InTraining(nn.Module):
    """Its head sees `between` of its features in training mode."""

    def __init__(self, between):
        super().__init__()
        self.features, self.head, self.between = nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 3), between

    def forward(self, x):
        hidden = self.features(x)
        return self.head(self.between(hidden) if self.training else hidden)


class Halved(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(values):
        return values.clone()

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, gradient):
        return gradient / 2


class WithoutGradients(nn.Sequential):
    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


class Tied(nn.Module):
    """Reads the weight of its head."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.inner(x) * self.head.weight.square().mean())


def without_gradients():
    network = Frozen(nn.Identity())
    network.features = WithoutGradients(*network.features)
    return network


def with_one_in_two_places(layer):
    return nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 4), layer, nn.Linear(4, 3))


SPLITS = {
    "parallel": (Both, nn.Identity),
    "its own forward": (Own, nn.Linear),
    "the head in the middle": (Twice, nn.Identity),
    "a hook before": (lambda: hooked("before"), nn.Linear),
    "a hook after": (lambda: hooked("after"), nn.Identity),
    "a patched forward": (lambda: hooked("instead"), nn.Identity),
    "a detached head": (lambda: Frozen(torch.detach), nn.Linear),
    "a scaled gradient": (lambda: Frozen(Halved.apply), nn.Linear),
    "features without gradients": (without_gradients, nn.Linear),
    "a head whose weight is read": (Tied, nn.Identity),
    "dropout between": (lambda: InTraining(lambda hidden: nn.functional.dropout(hidden, 0.5)), nn.Linear),
    "a temperature in training": (lambda: InTraining(lambda hidden: hidden / 2), nn.Linear),
    "one activation in two places": (lambda: with_one_in_two_places(nn.ReLU()), nn.Linear),
    "one linear layer in two places": (lambda: with_one_in_two_places(nn.Linear(4, 4)), nn.Linear),
}


@pytest.mark.parametrize(("make", "head"), SPLITS.values(), ids=SPLITS)
def test_a_split_computes_what_the_module_computes(make, head):
    module, inputs = make(), torch.rand(2, 4)
    trained = [*module.parameters()]

    def computed(network):
        torch.manual_seed(0)
        logits = network(inputs)
        return logits, *torch.autograd.grad(logits.square().sum(), trained, materialize_grads=True)

    expected = computed(module)
    layers, found = split(module, inputs)
    assert type(found) is head
    torch.testing.assert_close(computed(nn.Sequential(*layers.values(), found)), expected)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("nothing", "my_own_nets:nothing returns a NoneType, not an nn.Module"),
        ("needy", r"my_own_nets:needy needs width: give defaults; it is called with features = \(1, 6, 6\)"),
        ("residual", 'BatchNorm .norm. .*batch_norm = "frozen".*batch_norm = "group"'),
        ("with_dropout", r"layer features\.1 \(Dropout\) draws random numbers.*set its probability to 0"),
    ],
)
def test_what_cannot_be_trained_says_the_way_out(own, function, message):
    with pytest.raises(ValueError, match=message):
        check(recipe(function), small_dataset())


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ("my_other_nets:build", r"no module 'my_other_nets' was given.*add --with my_other_nets\.py to the command"),
        ("os:system", "no module 'os' was given"),
        ("my_own_nets:system", "defines no function 'system': it defines Residual, residual"),
        ("my_own_nets:nets", "defines no function 'nets'"),
        ("my_own_nets", "should match pattern"),
        ("my_own_nets:torch.load", r"defines no function 'torch\.load'"),
    ],
)
def test_a_suites_text_brings_no_code(own, build, message):
    with pytest.raises(BadParameters, match=message):
        networks.resolve({"name": "module", "build": build})


def test_a_misspelt_parameter_is_named_as_a_suite_names_it(own):
    with pytest.raises(BadParameters, match="did you mean build"):
        networks.resolve({"name": "module", "biuld": "my_own_nets:dense"})


def test_an_installed_package_names_its_modules_by_entry_points(own, monkeypatch):
    from importlib.metadata import EntryPoint

    point = EntryPoint("installed", "rrrbench.benchmark.networks.resnet18", "rrrbench.benchmark.networks.build")

    def points(group, name):
        return [point] if (group, name) == (point.group, point.name) else []

    monkeypatch.setattr("rrrbench.benchmark.networks.module.entry_points", points)
    made = networks.resolve({"name": "module", "build": "installed:ResNet18"})
    assert len(made.source_sha256) == 64
    with pytest.raises(ValueError, match=r"returns a ResNet18, not an nn\.Module"):
        made.build(small_dataset(), 0)


def test_the_key_has_the_files_digest(own):
    before = recipe("dense")
    assert before.resolved()["build"] == "my_own_nets:dense"
    assert networks.resolve(before.resolved()) == before
    assert before.id == f"module[build=my_own_nets:dense@{own_code.digest_of('my_own_nets')[:8]}]"
    own.write_text(SOURCE + "# changed\n")
    own_code.load([own])
    assert recipe("dense").identity() != before.identity()
    with pytest.raises(ValueError, match="has changed since the suite was loaded"):
        before.build(small_dataset(), 0)
    with pytest.raises(BadParameters, match="was asked for: give that file"):
        networks.resolve(before.resolved())


def test_a_function_is_given_what_it_takes():
    def everything(**given):
        return nn.Linear(len(given["features"]), given["classes"])

    assert built(everything, (1, 6, 6), 3).weight.shape == (3, 3)
    assert built(nn.Identity, (1, 6, 6), 3) is not None
