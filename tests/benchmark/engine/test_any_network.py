"""Whatever module a recipe makes, it is trained as a plain PyTorch loop trains it: alone and in a stack."""

from __future__ import annotations

import copy
from collections import OrderedDict
from typing import ClassVar

import pytest
import torch
from rrrbench.benchmark.conformance import network_laws
from rrrbench.benchmark.conformance.network_laws import a_plain_loop_trains_the_same
from rrrbench.benchmark.engine import tracing
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.benchmark.networks.base import NetworkRecipe
from rrrbench.benchmark.suite.training import Training
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.rrr import RRR
from small import small_dataset, small_trainer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

SIDE, WIDTH, CLASSES = 6, 6, 3
FEATURES = SIDE * SIDE
TRAINING = Training(epochs=2, batch_size=8, learning_rate=0.01)


class Standardised(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight - self.weight.mean(1, keepdim=True), self.bias)


class StandardisedConv(nn.Conv2d):
    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(input, weight, self.bias, padding=1)


class Squared(nn.ReLU):
    def forward(self, input: Tensor) -> Tensor:
        return input.relu().square()


class Cosine(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 5 * F.linear(F.normalize(input), F.normalize(self.weight))


class Around(nn.Module):
    """Uses a module that others may use too."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, hidden: Tensor) -> Tensor:
        return self.inner(hidden).tanh()


class TiedWithin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.other.weight = self.one.weight

    def forward(self, hidden: Tensor) -> Tensor:
        return self.other(self.one(hidden).tanh())


class Scaled(nn.Module):
    """A scalar parameter, beside a buffer that no forward pass changes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.register_buffer("shift", torch.arange(WIDTH) / WIDTH)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.scale * hidden + self.shift


class RandomProjection(nn.Module):
    """Constants that each seed draws anew: a buffer, and a tensor that is neither parameter nor buffer."""

    def __init__(self, as_buffer: bool) -> None:
        super().__init__()
        projection = torch.randn(WIDTH, WIDTH, dtype=torch.float64)
        if as_buffer:
            self.register_buffer("projection", projection)
        else:
            self.projection = projection

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden @ self.projection.to(hidden)


class Fourier(nn.Module):
    """Features of a matrix that each seed draws, behind a scale that begins at nearly 0 (LayerScale)."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix, self.scale = torch.randn(WIDTH, WIDTH), nn.Parameter(torch.full((WIDTH,), 1e-6))

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.scale * (hidden @ self.matrix.to(hidden)).cos()


class Wired(nn.Module):
    """Each seed draws which of two layers is used."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.used = (
            nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2)),
            int(torch.randint(2, (2,))[1]),
        )

    def forward(self, hidden: Tensor) -> Tensor:
        return self.layers[self.used](hidden)


class Embedded(nn.Module):
    """Bins of pixels, of which the first has no embedding; and the pixels, for a gradient of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.pixels = nn.Embedding(4, 2, padding_idx=0), nn.Linear(FEATURES, WIDTH)

    def forward(self, inputs: Tensor) -> Tensor:
        bins = (inputs.flatten(1)[:, :3] * 4).long().clamp(0, 3)
        return self.embedding(bins).flatten(1) + self.pixels(inputs.flatten(1))


class Capped(nn.Module):
    """Dims the brightest inputs, by a number that each seed draws."""

    def __init__(self) -> None:
        super().__init__()
        self.cap = 0.3 + 0.05 * float(torch.rand(()))

    def forward(self, inputs: Tensor) -> Tensor:
        bright = (inputs.flatten(1).mean(1) > self.cap).view(-1, 1, 1, 1)
        return torch.where(bright, inputs * self.cap, inputs)


class Strided(nn.Module):
    """Takes the maps by their strides, whatever these are."""

    def forward(self, maps: Tensor) -> Tensor:
        return torch.as_strided(maps, (len(maps), 64), (64, 1))


class WithoutTokens(nn.Module):
    """Register tokens, of which there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.zeros(0, WIDTH))

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.tokens.sum(0)


class Viewed(nn.Module):
    def forward(self, maps: Tensor) -> Tensor:
        return maps.view(maps.size(0), -1)


class OverTokens(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.mean(1)


class OwnZeros(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        written = torch.zeros(hidden.shape, dtype=hidden.dtype)
        written[:, ::2] = hidden[:, ::2]
        return written


class Branching(nn.Module):
    """Takes another way for inputs of another mean: no traced program may repeat the way of the first batch."""

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.stack([row if row.sum() > 0 else -2 * row for row in hidden])


class Counting(nn.Module):
    """Means over a number of entries that depends on the input."""

    def forward(self, hidden: Tensor) -> Tensor:
        return torch.stack([row * row[row > row.mean()].mean() for row in hidden])


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cell = kind(SIDE, WIDTH, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        rows = inputs.transpose(1, 2).flatten(2)
        return self.cell(rows)[0][:, -1]


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(SIDE, WIDTH)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = inputs.new_zeros(len(inputs), WIDTH)
        for row in inputs.transpose(1, 2).flatten(2).unbind(1):
            hidden = self.cell(row, hidden)
        return hidden


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Linear(SIDE, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 2, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = self.tokens(inputs.transpose(1, 2).flatten(2))
        return self.attention(tokens, tokens, tokens, need_weights=False)[0].mean(1)


def transformer() -> list[nn.Module]:
    layer = nn.TransformerEncoderLayer(WIDTH, 2, 8, dropout=0.0, batch_first=True, activation="gelu")
    return [nn.Flatten(), nn.Linear(FEATURES, WIDTH), nn.Unflatten(1, (1, WIDTH)), layer, nn.Flatten()]


def dense(*more: nn.Module, first: nn.Module | None = None) -> list[nn.Module]:
    return [nn.Flatten(), first or nn.Linear(FEATURES, WIDTH), nn.Tanh(), *more]


def images(first: nn.Module) -> list[nn.Module]:
    return [first, nn.Tanh(), nn.Flatten(), nn.Linear(4 * SIDE * SIDE, WIDTH), nn.Tanh()]


def frozen(module: nn.Module) -> nn.Module:
    return module.requires_grad_(False)


def hooked(module: nn.Module) -> nn.Module:
    module.register_forward_hook(lambda module, inputs, output: output.sin())
    return module


def patched(module: nn.Linear) -> nn.Module:
    module.forward = lambda hidden: F.linear(hidden, module.weight.square(), module.bias)
    return module


def tied() -> list[nn.Module]:
    shared = nn.Linear(WIDTH, WIDTH)
    return dense(Around(shared), Around(shared))


def tied_with_the_head() -> tuple[list[nn.Module], nn.Module]:
    inner, head = nn.Linear(WIDTH, CLASSES), nn.Linear(WIDTH, CLASSES)
    head.weight = inner.weight
    return dense(inner, nn.Tanh(), nn.Linear(CLASSES, WIDTH)), head


def orthogonal() -> nn.Module:
    return parametrizations.orthogonal(nn.Linear(WIDTH, WIDTH), orthogonal_map="cayley")


def in_two_places():
    layer = nn.Linear(WIDTH, WIDTH)
    return dense(layer, nn.Tanh(), layer)


def zeros(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def partly_frozen(part: str) -> nn.Module:
    layer = nn.Linear(WIDTH, WIDTH)
    getattr(layer, part).requires_grad_(False)
    return layer


def frozen_by_seed() -> list[nn.Module]:
    layers = [nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)]
    layers[int(torch.randint(2, (2,))[1])].requires_grad_(False)
    return dense(layers[0], nn.Tanh(), layers[1])


STACKED = {
    "plain": dense,
    "subclass of a linear layer": lambda: dense(first=Standardised(FEATURES, WIDTH)),
    "subclass of a convolution": lambda: images(StandardisedConv(1, 4, 3, padding=1)),
    "subclass of an activation": lambda: dense(Squared()),
    "cosine head": lambda: (dense(), Cosine(WIDTH, CLASSES)),
    "frozen first layer": lambda: dense(first=frozen(nn.Linear(FEATURES, WIDTH))),
    "frozen bias": lambda: dense(frozen(nn.LayerNorm(WIDTH))),
    "frozen head": lambda: (dense(), frozen(nn.Linear(WIDTH, CLASSES))),
    "a module used twice": tied,
    "a weight used twice": tied_with_the_head,
    "a weight used twice in a layer": lambda: dense(TiedWithin()),
    "a scalar and a buffer": lambda: dense(Scaled()),
    "a hook": lambda: dense(first=hooked(nn.Linear(FEATURES, WIDTH))),
    "a forward of its own": lambda: dense(first=patched(nn.Linear(FEATURES, WIDTH))),
    "parametrised": lambda: dense(first=parametrizations.weight_norm(nn.Linear(FEATURES, WIDTH))),
    "reflected padding": lambda: images(nn.Conv2d(1, 4, 3, padding=1, padding_mode="reflect")),
    "padding by name": lambda: images(nn.Conv2d(1, 4, 3, padding="same")),
    "grouped convolution": lambda: images(nn.Conv2d(1, 4, 3, padding=1, groups=1, bias=False)),
    "transposed convolution": lambda: images(nn.ConvTranspose2d(1, 4, 3, padding=1)),
    "group norm": lambda: images(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4))),
    "frozen batch norm": lambda: images(nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4).eval())),
    "dropout that is off": lambda: dense(nn.Dropout(0.5).eval(), nn.Dropout(0.0)),
    "ReLU in place": lambda: dense(nn.Linear(WIDTH, WIDTH), nn.ReLU(inplace=True)),
    "GRU cell": lambda: [Cell()],
    "one layer in two places": in_two_places,
    "one layer twice within a layer": lambda: dense(nn.Sequential(*2 * [nn.Linear(WIDTH, WIDTH)])),
    "attention": lambda: [Attention()],
    "transformer": transformer,
    "a weight that is frozen": lambda: dense(partly_frozen("weight")),
    "a bias that is frozen": lambda: dense(partly_frozen("bias")),
    "a head of zeros": lambda: (dense(), zeros(nn.Linear(WIDTH, CLASSES))),
    "tokens": lambda: [nn.Flatten(2), nn.Linear(FEATURES, WIDTH), nn.Tanh(), OverTokens()],
    "rows": lambda: [nn.Linear(SIDE, 2), nn.Tanh(), nn.Flatten(), nn.Linear(2 * SIDE, WIDTH)],
    "rows joined": lambda: [nn.Flatten(1, 2), nn.Linear(SIDE, 2), nn.Flatten(), nn.Linear(2 * SIDE, WIDTH)],
    "an empty parameter": lambda: dense(WithoutTokens()),
    "a view of maps": lambda: [nn.Conv2d(1, 4, 3), nn.Tanh(), Viewed(), nn.Linear(64, WIDTH)],
    "a view within": lambda: [nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), Viewed(), nn.Linear(64, WIDTH))],
}
"""Networks whose runs can be stacked: layers of `features`, or these and the head."""

ONE_BY_ONE = {
    "orthogonal, from a base that each seed draws": lambda: dense(orthogonal()),
    "a buffer that each seed draws": lambda: dense(RandomProjection(as_buffer=True)),
    "a tensor that each seed draws": lambda: dense(RandomProjection(as_buffer=False)),
    "LSTM": lambda: [Recurrent(nn.LSTM)],
    "a tensor that each seed draws, behind zeros": lambda: (
        dense(RandomProjection(as_buffer=False)), zeros(nn.Linear(WIDTH, CLASSES)),
    ),
    "features that each seed draws, behind a small scale": lambda: dense(Fourier()),
    "a layer that each seed chooses": lambda: dense(Wired()),
    "a layer that each seed freezes": frozen_by_seed,
    "a number that each seed draws": lambda: [Capped(), *dense()],
    "an embedding with a padding index": lambda: [Embedded()],
    "zeros of its own": lambda: dense(OwnZeros()),
    "branches": lambda: dense(Branching()),
    "shapes that depend on values": lambda: dense(Counting()),
}  # fmt: skip


FAST = "orthogonal, from a base that each seed draws", "branches"
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")


def recipe(layers) -> NetworkRecipe:
    class Anything(NetworkRecipe):
        name: ClassVar[str] = "anything"

        def layers(self, features, classes):
            made = layers()
            own, head = made if isinstance(made, tuple) else (made, nn.Linear(WIDTH, classes))
            return OrderedDict((f"layer{i}", module) for i, module in enumerate(own)), head

    return Anything()


@pytest.mark.long
@pytest.mark.parametrize("engine", ["stacked", pytest.param("single", marks=pytest.mark.slow)])
@pytest.mark.parametrize("layers", STACKED.values(), ids=STACKED)
def test_every_network_is_trained_as_by_a_plain_loop(layers, engine):
    """By RRR at two strengths; at strength 0 by the loss of ERM."""
    a_plain_loop_trains_the_same(recipe(layers), RRR(), engine)


@pytest.mark.parametrize("layers", STACKED.values(), ids=STACKED)
@pytest.mark.slow
def test_every_network_is_trained_by_erm_as_by_a_plain_loop(layers):
    a_plain_loop_trains_the_same(recipe(layers), ERM(), "auto")


@pytest.mark.long
@pytest.mark.parametrize(
    "layers",
    [
        pytest.param(layers, marks=[pytest.mark.slow] * (name not in FAST), id=name)
        for name, layers in ONE_BY_ONE.items()
    ],
)
def test_where_runs_cannot_be_stacked_auto_trains_them_one_by_one_and_says_so_once(layers, caplog):
    from rrrbench.benchmark.engine import plan

    plan._SAID.clear()
    network = recipe(layers)
    a_plain_loop_trains_the_same(network, RRR(), "auto")
    ERM().fit(small_trainer(network=network, engine="auto"))
    (said,) = [record.message for record in caplog.records if "run by run" in record.message]
    assert "anything" in said


def test_what_a_network_computes_does_not_depend_on_how_often_it_was_called():
    """A traced program begins after some calls; a branch that no batch took before is taken nonetheless."""
    network = recipe(ONE_BY_ONE["branches"])
    long = TRAINING.model_copy(update={"epochs": 12})
    draws, strengths = [small_dataset(0)], torch.zeros(1, 1, dtype=torch.float64)
    fitted = ERM().fit(Trainer(network, draws, long, strengths, engine="single", dtype=torch.float64))
    assert torch.isfinite(fitted.curves["right_answer"]).all()


class WithoutUse(nn.Module):
    """Has a layer that its forward pass leaves out, a detached bias, and a layer without gradients."""

    def __init__(self):
        super().__init__()
        self.unused, self.biased, self.frozen = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def forward(self, hidden):
        with torch.no_grad():
            fixed = self.frozen(hidden)
        return F.linear(hidden, self.biased.weight, self.biased.bias.detach()) + fixed


@pytest.mark.parametrize("engine", ["stacked", "single"])
def test_a_parameter_without_a_gradient_is_not_decayed(engine, monkeypatch):
    monkeypatch.setattr(network_laws, "TRAINING", TRAINING.model_copy(update={"weight_decay": 0.1}))
    network = recipe(lambda: dense(WithoutUse()))
    a_plain_loop_trains_the_same(network, ERM(), engine)


class Listed(nn.Module):
    """Shifts its inputs by numbers that Python reads from them."""

    def forward(self, hidden):
        return hidden + hidden.new_tensor([sum(row) for row in hidden.detach().tolist()])[:, None]


class RandomFeatures(nn.Module):
    """Draws the same numbers in every pass, from a seed of its own."""

    def forward(self, hidden):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            return torch.cos(hidden @ torch.randn(WIDTH, WIDTH).to(hidden))


class OwnGenerator(nn.Module):
    def forward(self, hidden):
        drawn = torch.randn(WIDTH, WIDTH, generator=torch.Generator().manual_seed(3))
        return torch.cos(hidden @ drawn.to(hidden))


@pytest.mark.long
@pytest.mark.parametrize("layer", [Listed(), RandomFeatures(), OwnGenerator()], ids=lambda layer: type(layer).__name__)
def test_what_python_reads_or_draws_is_not_frozen_into_a_program(layer, monkeypatch):
    draws, strengths = [small_dataset(0)], torch.tensor([[0.1]], dtype=torch.float64)
    fitted = []
    for trace_after in (1, 10**9):
        monkeypatch.setattr(tracing, "TRACE_AFTER", trace_after)
        network = recipe(lambda: dense(layer))
        trainer = Trainer(network, draws, TRAINING, strengths, engine="single", dtype=torch.float64)
        fitted.append(RRR().fit(trainer).parameters)
    for name, value in fitted[0].items():
        torch.testing.assert_close(value, fitted[1][name], rtol=1e-9, atol=1e-12)


def test_a_frozen_layer_stays_as_it_was_with_weight_decay_too():
    network = recipe(STACKED["frozen first layer"])
    draws, strengths = [small_dataset(0)], torch.zeros(1, 1, dtype=torch.float64)
    decayed = TRAINING.model_copy(update={"weight_decay": 0.1})
    one = Trainer(network, draws, decayed, strengths, engine="stacked", dtype=torch.float64)
    before = copy.deepcopy(one.modules[0])
    fitted = ERM().fit(one)
    for name, value in before.named_parameters():
        assert torch.equal(value, fitted.parameters[name][0, 0]) == (not value.requires_grad), name
