"""Networks that cannot be trained as the networks they are: refused, with the layer, the reason, and the way out."""

from __future__ import annotations

import random
from collections import OrderedDict
from typing import ClassVar

import numpy as np
import pytest
import torch
from rrrbench.benchmark.networks import gradients, networks
from rrrbench.benchmark.networks.base import NetworkRecipe
from rrrbench.benchmark.networks.check import check
from rrrbench.benchmark.networks.gradients import require_used_by_every_input
from rrrbench.benchmark.networks.not_trainable import NotTrainable
from rrrbench.datasets.recipe import make
from small import small_dataset, small_trainer
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.checkpoint import checkpoint

FEATURES, WIDTH = 36, 6


class Detached(nn.Module):
    def forward(self, hidden):
        return hidden.detach()


class OverTime(nn.Module):
    """Takes inputs for times: each state is of the inputs before it."""

    def __init__(self, make, **options):
        super().__init__()
        self.cell = make(WIDTH, WIDTH, **options)

    def forward(self, hidden):
        return self.cell(hidden[:, None])[0][:, -1]


class OfInputsBefore(nn.Module):
    def forward(self, hidden):
        return hidden + 0.1 * hidden.cumsum(0)


class InAList(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [nn.Linear(WIDTH, WIDTH)]

    def forward(self, hidden):
        return self.layers[0](hidden)


class InAFunction(nn.Module):
    def __init__(self):
        super().__init__()
        layer = nn.Linear(WIDTH, WIDTH)
        self.apply_layer = lambda hidden: layer(hidden)

    def forward(self, hidden):
        return self.apply_layer(hidden)


class OfAPlainTensor(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.randn(WIDTH, WIDTH).requires_grad_()

    def forward(self, hidden):
        return hidden @ self.weight


class SwitchedOff(nn.Linear):
    def forward(self, hidden):
        with torch.no_grad():
            return super().forward(hidden)


class HardSigmoid(nn.Module):
    def forward(self, hidden):
        return nn.functional.hardsigmoid(hidden)


class Recomputed(nn.Linear):
    def forward(self, hidden):
        return checkpoint(super().forward, hidden, use_reentrant=True)


class OfAGradient(nn.Module):
    def forward(self, hidden):
        leaf = hidden.clone().requires_grad_()
        return hidden + torch.autograd.grad(leaf.square().sum(), leaf)[0]


class Noise(nn.Module):
    def forward(self, hidden):
        return hidden + 0.1 * torch.randn_like(hidden)


class Centred(nn.Module):
    def forward(self, hidden):
        return hidden - hidden.mean(0)


class Moving(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(WIDTH))

    def forward(self, hidden):
        self.mean = 0.9 * self.mean + 0.1 * hidden.mean(0).detach()
        return hidden


class Remembering(nn.Module):
    passes = 0.0

    def forward(self, hidden):
        self.passes += 1.0
        return hidden * self.passes


class Drawing(nn.Module):
    """Draws from Python's generator, which no seed of ours fixes."""

    def forward(self, hidden):
        return hidden * random.random()


class Keeping(nn.Module):
    """Computes with a parameter that it keeps under a second name, which no list of parameters has."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.kept = [self.weight]

    def forward(self, hidden):
        return hidden @ self.kept[0]


class Two(nn.Linear):
    def forward(self, input):
        return super().forward(input), input


class Dictionary(nn.Linear):
    def forward(self, input):
        return {"logits": super().forward(input)}


class DrawsFrom(nn.Linear):
    """Drops a layer by a generator that no seed of a run fixes."""

    def __init__(self, draw):
        super().__init__(WIDTH, WIDTH)
        self.draw = draw

    def forward(self, hidden):
        return hidden + super().forward(hidden) if self.draw() < 0.98 else hidden


class OfComplexNumbers(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(WIDTH, WIDTH, dtype=torch.cfloat))

    def forward(self, hidden):
        return (hidden.to(torch.cfloat) @ self.weight).abs()


class Routed(nn.Module):
    """Each input by one of several experts."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, hidden):
        chosen, output = (1e3 * hidden.sum(1)).long() % 4, torch.zeros_like(hidden)
        for i, expert in enumerate(self.experts):
            rows = (chosen == i).nonzero()[:, 0]
            if len(rows):
                output = output.index_add(0, rows, expert(hidden[rows]))
        return output


class OfTwoModes(nn.Linear):
    def forward(self, hidden):
        return super().forward(hidden) * (1 if self.training else 0)


class Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.view_as(values)

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


class Reversing(nn.Linear):
    def forward(self, hidden):
        return Reversal.apply(super().forward(hidden))


class LargeBatches(nn.Module):
    """Couples inputs only where there are many."""

    def forward(self, hidden):
        return hidden - hidden.mean(0) if len(hidden) > 8 else hidden


class Counting(nn.Module):
    """Turns after a hundred passes into another network."""

    passes = 0

    def forward(self, hidden):
        self.passes += 1
        return hidden if self.passes < 100 else -hidden


class Queued(nn.Module):
    """Turns a ring of numbers by one place in every pass."""

    def __init__(self):
        super().__init__()
        self.ring = torch.arange(100)

    def forward(self, hidden):
        self.ring = self.ring.roll(1)
        return hidden


class Momentum(nn.Module):
    """Keeps a mean of its batches, where they are as large as in training."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(WIDTH))

    def forward(self, hidden):
        if len(hidden) >= 8:
            self.mean.mul_(0.9).add_(0.1 * hidden.detach().mean(0))
        return hidden + self.mean


class Clipped(nn.Linear):
    def forward(self, hidden):
        self.weight.data.clamp_(-0.42, 0.42)  # they begin within 1 / sqrt(6)
        return super().forward(hidden)


class Hooked(nn.Linear):
    """Halves a gradient on its way back."""

    def forward(self, hidden):
        hidden = super().forward(hidden)
        if hidden.requires_grad:
            hidden.register_hook(lambda gradient: gradient / 2)
        return hidden


class Square(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(values):
        return values**2

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


class Squared(nn.Linear):
    def forward(self, hidden):
        return Square.apply(super().forward(hidden))


class Stage(nn.Module):
    """A further layer for the inputs that need it, of which the first inputs are none."""

    def __init__(self):
        super().__init__()
        self.further = nn.Linear(WIDTH, WIDTH)

    def forward(self, hidden):
        rows = (hidden[:, 0] > 0.25).nonzero()[:, 0]
        return hidden.index_add(0, rows, self.further(hidden[rows])) if len(rows) else hidden


class KeptByShape(nn.Module):
    """Positions that are made once for each shape."""

    def __init__(self):
        super().__init__()
        self.positions = {}

    def forward(self, hidden):
        if hidden.shape not in self.positions:
            self.positions[hidden.shape] = torch.arange(WIDTH).to(hidden)
        return hidden + self.positions[hidden.shape]


class KeptByVersion(nn.Linear):
    """A transposed weight, made anew when the weight was written to."""

    version = -1

    def forward(self, input):
        if self.version != self.weight._version:
            self.transposed, self.version = self.weight.T.contiguous(), self.weight._version
        return input @ self.transposed + self.bias


class Listed(nn.Module):
    """Counts its passes in the middle of a long tensor, in a list."""

    def __init__(self):
        super().__init__()
        self.kept = [torch.zeros(3000)]

    def forward(self, hidden):
        self.kept[0][1500] += 1
        return hidden


class Squeezed(nn.Module):
    def forward(self, inputs):
        return inputs.squeeze()


class OfANegative(nn.Module):
    def forward(self, hidden):
        return (hidden - 2).log()


class InNumPy(nn.Module):
    def forward(self, hidden):
        return hidden * float(np.tanh(hidden.detach().numpy()[0, 0]) * 0 + 1)


def with_a_parameter(values):
    layer = nn.Linear(WIDTH, WIDTH)
    layer.index = nn.Parameter(values, requires_grad=False)
    return layer


def behind_zeros(layer):
    head = nn.Linear(WIDTH, 3)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    return dense(layer, head=head)


def with_a_hook(register):
    layer = nn.Linear(WIDTH, WIDTH)
    getattr(layer.weight, register)(lambda *_: None)
    return layer


def undefined():
    layer = nn.Linear(WIDTH, WIDTH)
    nn.init.constant_(layer.weight, torch.nan)
    return layer


def dense(*more, head=None, classes=3):
    layers = [nn.Flatten(), nn.Linear(FEATURES, WIDTH), nn.Tanh(), *more]
    return OrderedDict((f"layer{i}", layer) for i, layer in enumerate(layers)), head or nn.Linear(WIDTH, classes)


def image(norm):
    layers = [nn.Conv2d(1, 4, 3), norm, nn.Flatten()]
    return OrderedDict((f"layer{i}", layer) for i, layer in enumerate(layers)), nn.Linear(64, 3)


def sharing_memory():
    inner, head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)
    head.weight = nn.Parameter(inner.weight[:3].detach())
    return dense(inner, head=head)


def all_frozen():
    layers, head = dense()
    for layer in (*layers.values(), head):
        layer.requires_grad_(False)
    return layers, head


REFUSED = {
    "dropout": (lambda: dense(nn.Dropout(0.5)), r"layer features\.layer3 \(Dropout\) draws random numbers"),
    "dropout of maps": (lambda: image(nn.Dropout2d(0.1)), r"layer1 \(Dropout2d\) draws"),
    "dropout within": (lambda: dense(nn.Sequential(nn.AlphaDropout(0.2))), r"layer3\.0 \(AlphaDropout\) draws"),
    "a random slope": (lambda: dense(nn.RReLU()), r"layer3 \(RReLU\) draws"),
    "noise": (lambda: dense(Noise()), "its forward draws random numbers"),
    "Python's draws": (lambda: dense(Drawing()), r"draws random numbers \(of random\)"),
    "batch norm": (lambda: image(nn.BatchNorm2d(4)), r"writes into features\.layer1\..*BatchNorm2d\)\. Take GroupNorm"),
    "batch norm of vectors": (lambda: dense(nn.BatchNorm1d(WIDTH)), r"BatchNorm1d\)\. Take GroupNorm"),
    "batch norm without statistics": (
        lambda: image(nn.BatchNorm2d(4, track_running_stats=False)),
        r"depend on the other inputs of the batch: features\.layer1 \(BatchNorm2d\)\. Take GroupNorm",
    ),
    "the same, in evaluation": (
        lambda: image(nn.BatchNorm2d(4, track_running_stats=False).eval()),
        "depend on the other inputs of the batch.*running statistics",
    ),
    "instance norm with statistics": (lambda: image(nn.InstanceNorm2d(4, track_running_stats=True)), "writes into"),
    "spectral norm": (lambda: dense(spectral_norm(nn.Linear(WIDTH, WIDTH))), r"writes into.*parametrised.*`\.eval"),
    "the batch's mean": (lambda: dense(Centred()), "depend on the other inputs.*from this input alone"),
    "a moving mean": (lambda: dense(Moving()), r"writes into features\.layer3\.mean"),
    "Python's generator": (lambda: dense(DrawsFrom(random.random)), r"draws random numbers \(of random\)"),
    "NumPy's generator": (lambda: dense(DrawsFrom(np.random.rand)), r"draws random numbers \(of numpy\.random\)"),
    "complex numbers": (lambda: dense(OfComplexNumbers()), r"layer3\.weight is complex.*imaginary part"),
    "experts": (lambda: dense(Routed()), r"layer3\.experts\.\d\.bias is used by some inputs only"),
    "two modes": (lambda: dense(OfTwoModes(WIDTH, WIDTH)), "other logits in evaluation mode.*`training`"),
    "an old autograd.Function": (lambda: dense(Reversing(WIDTH, WIDTH)), "torch.func.*needs a `setup_context`"),
    "a large batch's mean": (lambda: dense(LargeBatches()), "depend on the other inputs"),
    "a counter of passes": (lambda: dense(Counting()), r"changes features\.layer3\.passes.*keep nothing"),
    "a ring that turns": (lambda: dense(Queued()), r"changes features\.layer3\.ring.*keep nothing"),
    "a counter in a list": (lambda: dense(Listed()), r"changes features\.layer3\.kept.*keep nothing"),
    "a mean of large batches": (lambda: dense(Momentum()), r"writes into features\.layer3\.mean"),
    "a stage of few inputs": (lambda: dense(Stage()), r"layer3\.further\.\w+ is used by some inputs only"),
    "kept for each shape": (lambda: dense(KeptByShape()), r"layer3\.positions keeps something of other inputs"),
    "kept until written to": (lambda: dense(KeptByVersion(WIDTH, WIDTH)), r"layer3\.\w+ keeps something of other"),
    "the batch's mean behind zeros": (lambda: behind_zeros(Centred()), "depend on the other inputs of the batch"),
    "two modes behind zeros": (lambda: behind_zeros(OfTwoModes(WIDTH, WIDTH)), "other logits in evaluation mode"),
    "batch norm without statistics behind zeros": (
        lambda: behind_zeros(nn.BatchNorm1d(WIDTH, track_running_stats=False)), r"layer3 \(BatchNorm1d\)",
    ),
    "a mask as a parameter": (
        lambda: dense(with_a_parameter(torch.ones(3, dtype=torch.bool))), r"index is torch\.bool.*register_buffer",
    ),
    "an index as a parameter": (lambda: dense(with_a_parameter(torch.arange(3))), r"index is torch\.int64"),
    "a scripted part": (
        lambda: dense(torch.jit.script(nn.Linear(WIDTH, WIDTH))), r"features\.layer3 is a scripted module",
    ),
    "a squeeze": (
        lambda: (OrderedDict(a=Squeezed(), b=nn.Flatten(1), c=nn.Linear(FEATURES, WIDTH)), nn.Linear(WIDTH, 3)),
        r"fails on a batch of one input.*`squeeze` without an axis.*flatten\(1\)",
    ),
    "NaN logits": (lambda: dense(OfANegative()), "gives logits that are NaN or infinite before it is trained"),
    "clipped weights": (lambda: dense(Clipped(WIDTH, WIDTH)), "writes into .*clipped copy, by torch"),
    "a hook on a tensor": (lambda: dense(Hooked(WIDTH, WIDTH)), "registers a hook on a tensor.*autograd.Function"),
    "a hook on a parameter": (lambda: dense(with_a_hook("register_hook")), r"layer3\.weight has a hook"),
    "a hook after the gradient": (
        lambda: dense(with_a_hook("register_post_accumulate_grad_hook")), r"layer3\.weight has a hook",
    ),
    "no second derivative": (lambda: dense(Squared(WIDTH, WIDTH)), "`once_differentiable`.*write its `backward`"),
    "detached features": (lambda: dense(Detached()), r"no gradient of its logits reaches its inputs.*`\.detach\(\)`"),
    "features without gradients": (lambda: dense(SwitchedOff(WIDTH, WIDTH)), r"features\.\S+|no gradient.*no_grad"),
    "hard sigmoid": (lambda: dense(HardSigmoid()), r"PyTorch has none .*hardsigmoid.*: .* such as F\.relu6"),
    "a layer of hard sigmoids": (lambda: dense(nn.Hardsigmoid()), r"second derivative.*such as F\.relu6"),
    "a checkpoint": (lambda: dense(Recomputed(WIDTH, WIDTH)), "Leave torch.utils.checkpoint out"),
    "a gradient in the forward pass": (lambda: dense(OfAGradient()), r"asks for a gradient.*torch\.func\.grad"),
    "an LSTM over the batch": (lambda: dense(OverTime(nn.LSTM)), r"features\.layer3\.cell takes .*batch_first=True"),
    "a GRU over the batch": (lambda: dense(OverTime(nn.GRU)), r"features\.layer3\.cell takes the first axis for time"),
    "a sum of the inputs before": (lambda: dense(OfInputsBefore()), "depend on the other inputs of the batch"),
    "a layer in a list": (lambda: dense(InAList()), r"tensor \(6, 6\) that requires .* none of its.*nn\.ModuleList"),
    "a layer in a function": (lambda: dense(InAFunction()), r"none of its parameters, so that nothing trains it"),
    "a tensor that is no parameter": (lambda: dense(OfAPlainTensor()), r"make the tensor an nn\.Parameter"),
    "a softmax": (lambda: dense(head=nn.Sequential(nn.Linear(WIDTH, 3), nn.Softmax(1))), "gives probabilities"),
    "NaN at the start": (lambda: dense(undefined()), r"layer3\.weight is not finite as it is initialised"),
    "a counter": (lambda: dense(Remembering()), "two forward passes of the same inputs differ"),
    "a parameter's second name": (lambda: dense(Keeping()), "do not follow from its parameters alone.*in `forward`"),
    "two outputs": (lambda: dense(head=Two(WIDTH, 3)), r"gives a tuple for 3 inputs: `head` must give logits \(3, 3\)"),
    "a dictionary": (lambda: dense(head=Dictionary(WIDTH, 3)), "gives a dict"),
    "too many classes": (lambda: dense(classes=7), r"gives an output of shape \(3, 7\)"),
    "a number an input": (lambda: dense(head=nn.Sequential(nn.Linear(WIDTH, 1), nn.Flatten(0))), r"of shape \(3,\)"),
    "maps of logits": (lambda: (OrderedDict(conv=nn.Conv2d(1, 4, 3)), nn.Conv2d(4, 3, 1)), r"of shape \(3, 3, 4, 4\)"),
    "a lazy layer": (lambda: dense(nn.LazyLinear(WIDTH)), r"features\.layer3\.weight has no shape"),
    "nothing to train": (all_frozen, "no parameter requires a gradient"),
    "layers that do not fit": (lambda: dense(nn.Linear(7, WIDTH)), r"fails on inputs \(3, 1, 6, 6\).*layers fit\?"),
    "parameters that share memory": (sharing_memory, "share memory"),
}  # fmt: skip


def recipe(made) -> NetworkRecipe:
    class Refused(NetworkRecipe):
        name: ClassVar[str] = "refused"

        def layers(self, features, classes):
            return made()

    return Refused()


@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature", "ignore:`torch.jit.script` is deprecated")
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize(("made", "message"), REFUSED.values(), ids=REFUSED)
def test_a_network_that_is_not_what_it_seems_is_refused_before_training(made, message, shapes_unchecked):
    state, own = torch.get_rng_state(), random.getstate()
    with pytest.raises(ValueError, match=message) as error:
        small_trainer(network=recipe(made))
    assert str(error.value).startswith("network refused ")
    assert torch.equal(state, torch.get_rng_state())
    random.setstate(own)


def test_the_network_of_every_seed_is_asked_where_the_seed_decides_what_it_is_made_of():
    """As in a search of architectures."""
    made = recipe(lambda: dense((nn.Identity(), nn.Dropout(0.5))[int(torch.randint(2, ()))]))
    passing, dropping = ([seed for seed in range(8) if drops(made, seed) is wanted] for wanted in (False, True))
    small_trainer(network=made, seeds=tuple(passing[:2]))
    with pytest.raises(NotTrainable, match=r"layer3 \(Dropout\) draws random numbers"):
        small_trainer(network=made, seeds=(passing[0], dropping[0]))


def drops(made, seed):
    return any(isinstance(layer, nn.Dropout) for layer in made.build(small_dataset(seed), seed).modules())


OURS = [name for name in networks.names() if not any(f.is_required() for f in networks[name].model_fields.values())]


@pytest.mark.long
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "resnet18")) for name in OURS])
def test_every_network_of_ours_passes(name):
    check(networks.resolve(name), small_dataset() if name.endswith("mlp") else make("decoy", 0, base="digits"))


def test_a_bias_that_a_normalisation_takes_away_is_no_reason_to_refuse():
    """Its gradient is 0 but for rounding, which differs from one way of computing it to another."""

    def made():
        layers = OrderedDict(conv=nn.Conv2d(1, 16, 3), norm=nn.GroupNorm(16, 16), relu=nn.ReLU(), flatten=nn.Flatten())
        return layers, nn.Linear(256, 3)

    check(recipe(made), small_dataset())


def test_a_large_batch_is_asked_by_its_graph_alone_because_gradients_of_a_large_network_take_minutes(monkeypatch):
    asked = []
    monkeypatch.setattr(gradients, "_unused", lambda module, inputs: asked.append(len(inputs)) or set())
    recipe, dataset = networks.resolve("mlp"), small_dataset()
    inputs = torch.zeros(20, *dataset.features)
    require_used_by_every_input(recipe, recipe.build(dataset, 0), inputs[:3], inputs)
    assert asked == [1, 1, 1]
