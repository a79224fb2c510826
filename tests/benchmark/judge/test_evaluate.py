"""A network that somebody trained has the numbers that it would have as a run, and is left as it was."""

import copy
import importlib
import json
import re
import tomllib

import numpy as np
import pytest
import torch
from rrrbench import evaluate
from rrrbench.benchmark.cli import app
from rrrbench.benchmark.judge import NotJudged
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.running.session import Session
from rrrbench.benchmark.store.records import RecordStore
from rrrbench.benchmark.suite.loading import parse_suite
from rrrbench.datasets.recipe import datasets
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from typer.testing import CliRunner

SUITE = """
description = "two runs whose networks are kept"
seeds = [1]
save_models = true
[[sweeps]]
dataset = "decoy"
network = "mlp"
training = { epochs = 3 }
mitigations = [{ mitigation = "erm" }, { mitigation = "rrr", strengths = [100.0] }]
"""
TRAINED_HERE = {"seconds", "seconds/setup", "right_answer", "right_reason"}


def linear(outputs=10):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, outputs))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A finished suite, and the folder of its results."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        suite = parse_suite({"name": "kept", **tomllib.loads(SUITE)}, "kept")
        session = Session(suite, folder)
        session.run()
    return folder, list(session.records.values())


@pytest.mark.long
def test_a_network_of_a_sweep_has_the_numbers_of_its_record(swept):
    folder, records = swept
    for record in records:
        draw = datasets.resolve("decoy").make(1)
        network = networks.resolve("mlp").build(draw, 1)
        network.load_state_dict(torch.load(RecordStore(folder).model_path(record.run_key), weights_only=True))
        report = evaluate(network, "decoy-digits", seed=1)
        expected = {k: v for k, v in record.metrics.items() if k not in TRAINED_HERE and not k.startswith("liveness")}
        assert report.metrics.keys() == expected.keys()
        for name, value in expected.items():
            assert report.metrics[name] == pytest.approx(value, rel=1e-5, abs=1e-7), name
        assert report.record.flips == record.flips
        assert (report.record.dataset_key, report.record.digest) == (record.dataset_key, record.digest)


@pytest.mark.long
def test_a_leaderboard_shows_it_beside_the_sweep(swept, monkeypatch):
    folder, _ = swept
    monkeypatch.setenv("RRRBENCH_HOME", str(folder))
    (folder / "kept.toml").write_text(SUITE)
    report = evaluate(linear(), "decoy-digits", seed=1, name="theirs")
    record = report.log(folder)
    assert RecordStore(folder).picture(record) is not None
    assert report.log(folder) == record  # nothing twice
    told = CliRunner().invoke(app, ["leaderboard", str(folder / "kept.toml"), "--rule", "val_iid", "--format", "csv"])
    assert told.exit_code == 0, told.output
    row = next(line for line in told.output.splitlines() if "trained elsewhere" in line)
    assert ",theirs," in row
    with pytest.raises(ValueError, match=r"another network is kept as 'theirs'.*name="):
        evaluate(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), "decoy-digits", seed=1, name="theirs").log(folder)


class Attention(nn.Module):
    """A small ViT: patches of 7 x 7, one encoder layer."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(1, 16, 7, stride=7)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.1, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 1), nn.Linear(16, 10)

    def forward(self, images):
        return self.head(self.encoder(self.patches(images).flatten(2).transpose(1, 2)).mean(1))


def resnet18():
    from torchvision.models import resnet18

    network = resnet18(num_classes=10)
    network.conv1 = nn.Conv2d(1, 64, 3, 2, 1, bias=False)
    return network


@pytest.mark.long
@pytest.mark.parametrize("build", [Attention, pytest.param(resnet18, marks=pytest.mark.slow)])
def test_batchnorm_dropout_and_attention_are_evaluated_as_they_are(build):
    torch.manual_seed(0)
    network = build()
    network.train()
    draw = small_draw()
    network(draw.train.batch().inputs)  # BatchNorm's statistics
    state = copy.deepcopy(network.state_dict())
    drawn = torch.get_rng_state()
    report = evaluate(network, draw)
    assert torch.equal(drawn, torch.get_rng_state())
    assert network.training
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    copied = copy.deepcopy(network).eval()
    random = draw.test("random")
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        right = (copied(random.batch().inputs).argmax(1) == random.labels).double().mean().item()
    assert report.metrics["accuracy/random"] == pytest.approx(right)
    assert "mass_abs/input_gradient" in report.metrics
    assert report.figure().axes


def small_draw():
    from dataclasses import replace

    draw = datasets.resolve("decoy").make(0)

    def first(split):
        return split.rows(slice(24))

    tests = {name: first(split) for name, split in draw.environments.items()}
    return replace(draw, train=first(draw.train), validation=first(draw.validation), environments=tests)


@pytest.mark.long
def test_a_function_is_judged_like_its_module():
    module = linear()
    report, other = evaluate(module, "decoy-digits"), evaluate(lambda images: module(images), "decoy-digits")
    assert dict(report.metrics) == dict(other.metrics)
    assert other.record.network == "<lambda>"


@pytest.mark.long
def test_a_function_without_gradients_has_no_saliency_and_says_so():
    module = linear()
    plain = evaluate(module, "decoy-digits").metrics
    weight, bias = (value.detach().numpy() for value in module[1].parameters())
    through_numpy = lambda images: torch.from_numpy(images.detach().flatten(1).numpy() @ weight.T + bias)  # noqa: E731
    for function in (through_numpy, torch.no_grad()(lambda images: module(images))):
        report = evaluate(function, "decoy-digits")
        assert report.metrics["flip_rate"] == plain["flip_rate"]
        assert not any("mass" in name for name in report.metrics)
        assert any("no gradient reaches the inputs" in warning for warning in report.warnings)
        assert report.figure().axes
        with pytest.raises(NotJudged, match="smooth_gradient asks for gradients"):
            evaluate(function, "decoy-digits", explainers=["smooth_gradient"])


@pytest.mark.parametrize("through", [lambda images: images, lambda images: torch.from_numpy(images.numpy())])
def test_a_network_that_writes_into_its_inputs_leaves_the_data_as_they_are(through):
    module, draw = linear(), small_draw()

    def in_place(images):
        if not images.requires_grad:
            images = through(images)
        return module(images.sub_(0.5).clamp_(0, 1))

    report, plain = evaluate(in_place, draw), evaluate(lambda images: module((images - 0.5).clamp(0, 1)), draw)
    assert dict(report.metrics) == dict(plain.metrics)


def test_a_record_of_other_data_is_not_kept_beside_those_of_the_data(tmp_path):
    record = evaluate(linear(), "decoy-digits").record
    store = RecordStore(tmp_path)
    store.put_evaluated(record)
    other = record.model_copy(update={"digest": "0" * 64, "run_key": "1" * 64})
    with pytest.raises(ValueError, match="has another content than in the records of"):
        store.put_evaluated(other)


@pytest.mark.long
def test_a_normalisation_is_the_network_behind_it():
    module = linear()
    normalised = evaluate(module, "decoy-digits", normalize=([0.5], [0.25]))
    by_hand = evaluate(lambda images: module((images - 0.5) / 0.25), "decoy-digits")
    assert normalised.metrics["accuracy/random"] == by_hand.metrics["accuracy/random"]
    assert normalised.metrics["probability_shift"] == pytest.approx(by_hand.metrics["probability_shift"], abs=1e-6)


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.calls = linear(), 0

    def forward(self, images):
        self.calls += 1
        return self.layer(images) * self.calls


BATCHNORM = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 10))
LINEAR = linear()
REFUSED = {
    "probabilities": (nn.Sequential(linear(), nn.Softmax(1)), "gives probabilities: give logits"),
    "a dict": (lambda images: {"logits": linear()(images)}, r"gives a dict.*lambda images: model\(images\).logits"),
    "a tuple": (lambda images: (linear()(images), None), "gives a tuple, not a tensor"),
    "one logit": (linear(1), r"gives \(16, 1\).*two logits"),
    "a flat logit": (lambda images: linear(1)(images)[:, 0], r"gives \(16,\).*two logits"),
    "other classes": (linear(1000), r"gives \(16, 1000\).*10 classes.*picks their logits"),
    "NaN": (lambda images: linear()(images) * torch.nan, "not finite for inputs.*give finite logits"),
    "classes": (lambda images: linear()(images).argmax(1), r"gives \(16,\)"),
    "integers": (lambda images: linear()(images).long(), "gives torch.int64"),
    "colours": (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten()), r"fails on inputs \(16, 1, 28, 28\)"),
    "the batch": (lambda images: linear()(images - images.mean(0)), "other logits beside other inputs"),
    "the inputs before": (lambda images: linear()(images + images.cumsum(0)), "beside other inputs.*batch_first=True"),
    "draws": (lambda images: LINEAR(torch.rand_like(images)), "for the same inputs again"),
    "state": (Counting(), "for the same inputs again"),
    "BatchNorm of a function": (
        lambda images: BATCHNORM(images),
        "BatchNorm with statistics of the batch",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("model", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_network_to_logits_is_refused(model, said):
    with pytest.raises(NotJudged, match=said):
        evaluate(model, "decoy-digits")


def test_logits_that_are_not_finite_for_a_few_images_are_refused():
    """A function of the ink that is NaN beyond a bound, which the first images stay below."""
    data, network = datasets.resolve({"name": "decoy", "base": "digits"}).make(0), linear()
    ink = data.test("random").batch().inputs.flatten(1).sum(1)
    bound = max(float(ink.quantile(0.95)), float(ink[:16].max()))
    assert (ink > bound).any()
    with pytest.raises(NotJudged, match=r"logits of \d+ of \d+ inputs of '\w+' are not finite, input \d+ the first"):
        evaluate(lambda images: network(images) + 0 * (bound - images.flatten(1).sum(1)).log()[:, None], data)


@pytest.mark.parametrize("model", ["resnet18", None, 3])
def test_what_is_no_network_at_all_is_refused(model, shapes_unchecked):
    with pytest.raises(NotJudged, match="is no network: give"):
        evaluate(model, "decoy-digits")


LOADER = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.zeros(4, 1, 28, 28)))


@pytest.mark.parametrize("data", [None, 3, ["decoy"], LOADER, torch.zeros(4, 1, 28, 28)])
def test_what_are_no_data_is_refused(data, shapes_unchecked):
    with pytest.raises(TypeError, match=r"data is a .*: give a dataset's name"):
        evaluate(linear(), data)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"seed": 1.5}, ValueError, "seed = 1.5: give a whole number from 0"),
        ({"batch_size": 0}, ValueError, "batch_size = 0: give a whole number from 1"),
        ({"explainers": "smooth_gradient"}, TypeError, "explainers = 'smooth_gradient' is no list: give names in a"),
        ({"normalise": "imagenet"}, TypeError, r"evaluate\(..., normalise='imagenet'\).*did you mean normalize"),
        ({"model": nn.Identity}, NotJudged, r"Identity is a class: give a network, Identity\(...\)"),
    ],
)
def test_what_it_cannot_take_is_named_with_the_way_out(given, error, said, shapes_unchecked):
    with pytest.raises(error, match=said):
        evaluate(**{"model": linear(), "data": "decoy-digits"} | given)


@pytest.mark.parametrize("normalize", [([0.5], [0.0]), ([0.5, 0.5], [1, 1]), "imagenet", "imagnet", 0.5])
def test_a_normalisation_that_does_not_fit_is_refused(normalize, shapes_unchecked):
    with pytest.raises(NotJudged, match="does not fit inputs of 1 channels"):
        evaluate(linear(), "decoy-digits", normalize=normalize)


def test_an_untrained_network_is_warned_of():
    constant = linear()
    nn.init.zeros_(constant[1].weight)
    constant[1].bias.data = 5 * torch.eye(10)[3]
    report = evaluate(constant, "decoy-digits")
    assert report.metrics["flip_rate"] == 0
    assert any("untrained" in warning for warning in report.warnings)
    assert "warning: untrained" in str(report)


def test_a_network_that_rounds_is_said_to_have_no_saliency():
    network = linear()
    report = evaluate(lambda images: network((images * 8).round() / 8), small_draw())
    assert not any(name.startswith("mass_abs") for name in report.metrics)
    said = r"input_gradient attributes nothing to any pixel of \d+ of \d+ inputs with a mask .*: .* not measured"
    assert any(re.match(said, warning) for warning in report.warnings)


def test_outputs_of_a_sigmoid_are_warned_of():
    report = evaluate(nn.Sequential(linear(), nn.Sigmoid()), small_draw())
    assert any("all logits lie in [0, 1], as a sigmoid's" in warning for warning in report.warnings)
    assert not any("sigmoid" in warning for warning in evaluate(linear(), small_draw()).warnings)


@pytest.mark.long
def test_a_report_in_a_notebook_shows_table_and_figure():
    text = evaluate(linear(), small_draw(), name="<b>mine</b>")._repr_html_()
    assert "<table>" in text
    assert "<svg" in text
    assert "<b>mine" not in text


def test_shares_have_wilsons_interval():
    report = evaluate(linear(), "decoy-digits")
    n, share = report.counted["flip_rate"], report.metrics["flip_rate"]
    z = 1.959963984540054
    middle, half = (share + z * z / 2 / n), z * np.sqrt(share * (1 - share) / n + z * z / 4 / n / n)
    assert report.intervals["flip_rate"] == pytest.approx(
        ((middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n))
    )


def test_records_of_evaluations_are_validated_like_others(swept):
    record = evaluate(linear(), "decoy-digits", seed=1).record
    assert json.loads(record.model_dump_json())["status"] == "evaluated"
    assert type(record).model_validate_json(record.model_dump_json()) == record


def test_a_bar_counts_every_pass_and_is_shown_on_terminals_after_two_seconds(monkeypatch, capsys):
    from tqdm import tqdm

    module, bars, given = importlib.import_module("rrrbench.benchmark.judge.evaluation"), [], []

    def shown(**options):
        given.append((options["delay"], options["disable"]))
        bars.append(tqdm(**{**options, "delay": 0, "disable": False, "mininterval": 0}))
        return bars[-1]

    evaluate(linear(), small_draw())
    assert capsys.readouterr().err == ""  # no terminal
    monkeypatch.setattr(module, "tqdm", shown)
    evaluate(linear(), small_draw(), explainers=["smooth_gradient"])
    assert given == [(2, None)]
    assert bars[0].n == bars[0].total > 100
    assert "evaluating, integrated_gradients" in capsys.readouterr().err
