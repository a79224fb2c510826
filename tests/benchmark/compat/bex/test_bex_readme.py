"""The scripts of bex's README, of its run_benchmark.py, and of its own test, with the import alone changed."""

# ruff: noqa: NPY002 (explainers of strangers draw from NumPy's global generator)

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from letters import Ink
from rrrbench.benchmark.compat import bex
from rrrbench.benchmark.compat.bex import Benchmark
from rrrbench.benchmark.compat.bex.explainers import ExplainerBase
from rrrbench.benchmark.compat.bex.loggers import BasicLogger
from rrrbench.benchmark.compat.bex.names import NAMES
from rrrbench.datasets.registry import UnknownName


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(monkeypatch, tmp_path, uri):
    """Nothing is trained; MLflow and results are in a new folder."""
    monkeypatch.setattr("rrrbench.benchmark.compat.bex.benchmark.trained", lambda *_: Ink())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("RRRBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.long
def test_predefined_explainers(tmp_path, capsys):
    bn = bex.Benchmark(n_corr=6, corr_level=0.95, n_samples=6)
    bn.run("stylex")
    bn.run("IS", output_path="output/is")
    print(bn.summarize())
    assert "explainer" in capsys.readouterr().out
    assert (tmp_path / "output" / "is" / "results.csv").is_file()
    table = bn.summarize()
    assert list(table["explainer"]) == ["stylex", "is"]
    assert set(table.columns[:6]) == {"explainer", *NAMES}
    assert list(table["SCE"]) == list(table["success"])
    assert list(table["Cardinality (S#)"]) == list(table["cardinality"])


class DummyExplainer(bex.explainers.ExplainerBase):
    def __init__(self, num_explanations):
        super().__init__()
        self.num_explanations = num_explanations

    def explain_batch(
        self,
        latents: torch.Tensor,
        logits: torch.Tensor,
        images: torch.Tensor,
        classifier: torch.nn.Module,
        generator: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        b, c = latents.size()
        z = latents[:, None, :].repeat(1, self.num_explanations, 1)
        z_perturbed = z + random.random()
        return z_perturbed.view(b, self.num_explanations, c)


@pytest.mark.long
def test_a_custom_explainer():
    bn = bex.Benchmark(n_samples=6)
    bn.run(DummyExplainer, num_explanations=10)
    assert bn.summarize()["SCE"].between(0, 1).all()


def test_no_logger(tmp_path):
    bn = bex.Benchmark(n_corr=6, corr_level=0.95, logger=None, n_samples=6)
    bn.run("stylex")
    assert list(bn.summarize()["explainer"]) == ["stylex"]
    assert not list(tmp_path.glob("home/**/*.csv"))


class Wandb:
    """As far as the README's logger uses it."""

    def __init__(self):
        self.logged, self.begun = [], {}

    def init(self, **settings):
        self.begun = settings

    def log(self, data, commit=False):
        self.logged.append(data)


wandb = Wandb()


class WandbLogger(BasicLogger):
    def __init__(self, attributes, path, n_batches=10):
        super().__init__(attributes, path, n_batches)
        wandb.init(project="Synbols-benchmark", dir=self.path, config=self.attributes, reinit=True)

    def accumulate(self, data, images):
        super().accumulate(data, images)
        wandb.log({f"{k}": v for k, v in data.items()}, commit=True)

    def log(self):
        self.metrics = {f"{k}_avg": np.mean(v) for k, v in self.metrics.items()}
        wandb.log(self.metrics)
        self.prepare_images_to_log()
        wandb.log({"Counterfactuals": self._figure})


def test_a_custom_logger():
    bn = bex.Benchmark(n_corr=6, corr_level=0.95, logger=WandbLogger, n_samples=6, batch_size=6)
    bn.run("IS")
    batch, averages, figure = wandb.logged
    assert batch["SCE"] == averages["SCE_avg"] == bn.summarize()["SCE"][0]
    assert figure["Counterfactuals"].axes
    assert wandb.begun["dir"].is_dir()
    assert wandb.begun["config"]["n_corr"] == 6


@pytest.mark.long
def test_run_benchmark_py():
    corrs = [0.5, 0.95]
    clusters = [6, 10]
    for corr in corrs:
        for n_clusters in clusters:
            bn = Benchmark(corr_level=corr, n_corr=n_clusters, n_samples=2, logger=None)
            bn.runs({"explainer": exp} for exp in ["IS", "gs", "stylex"])
            assert len(bn.summarize()) == 3


class Own(ExplainerBase):
    def __init__(self, num_explanations):
        super().__init__()
        self.num_explanations = num_explanations

    def explain_batch(self, latents, logits, images, classifier, generator):
        device = latents.device
        b, c = latents.size()
        z = latents[:, None, :].repeat(1, self.num_explanations, 1).to(device)
        z_perturbed = z + torch.rand_like(z)
        return z_perturbed.view(b, self.num_explanations, c)


@pytest.mark.long
@pytest.mark.parametrize("device", ["cpu", ""])
def test_bex_s_own_test(device):
    bn = Benchmark(n_samples=2, logger=None)
    explainers = ["IS", "gs", "stylex", "lcf", "xgem", Own]
    bn.runs({"explainer": exp, "num_explanations": 2, "device": device} for exp in explainers)
    assert len(bn.summarize()) == len(explainers)


@pytest.mark.parametrize(
    "name", ["ExplainerBase", "Dice", "Dive", "Stylex", "GrowingSpheres", "LCF", "Xgem", "InformedSearch"]
)
def test_names_of_bex_explainers(name):
    assert getattr(bex.explainers, name) is getattr(bex, name)


def test_names_of_bex_loggers():
    assert bex.loggers.BasicLogger is BasicLogger is bex.BasicLogger


class Numpy(ExplainerBase):
    """Draws from NumPy's global generator, in its constructor and in a batch."""

    def __init__(self):
        super().__init__()
        self.shift = np.random.rand()

    def explain_batch(self, latents, logits, images, classifier, generator):
        return latents[:, None].numpy().astype(np.float64) + self.shift + np.random.normal(size=(len(latents), 3, 11))


def test_the_seed_decides_what_an_explainer_draws_from_numpy():
    def run(seed):
        return Benchmark(n_samples=10, logger=None, classifier=Ink(), seed=seed).run(Numpy)

    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    first = run(3)
    assert (np.random.get_state()[1] == before).all()
    np.random.seed(2)
    assert run(3) == pytest.approx(first, nan_ok=True)
    bn = Benchmark(n_samples=10, logger=None, classifier=Ink(), seed=3)
    assert bn.run(Numpy) == pytest.approx(bn.run(Numpy), nan_ok=True)


WRONG = [
    ({"batch_size": 0}, "batch_size is 0"),
    ({"batch_size": True}, "batch_size is True"),
    ({"batch_size": 2.5}, "batch_size is 2.5"),
    ({"n_samples": -1}, "n_samples is -1"),
    ({"n_samples": "3"}, "n_samples is '3'"),
    ({"n_samples": None}, "n_samples is None"),
    ({"corr_level": 1.5}, "corr_level is 1.5"),
    ({"corr_level": float("nan")}, "corr_level is nan"),
    ({"corr_level": "0.95"}, "corr_level is '0.95'"),
    ({"corr_level": True}, "corr_level is True"),
    ({"n_corr": 7}, "n_corr.* is 7"),
    ({"n_corr": 24}, "n_corr.* is 24"),
    ({"n_corr": 6.0}, "n_corr.* is 6.0"),
    ({"n_corr": None}, "n_corr.* is None"),
    ({"seed": -1}, "seed is -1"),
    ({"seed": None}, "seed is None"),
    ({"seed": 0.5}, "seed is 0.5"),
    ({"logger": "basic"}, "logger is 'basic'"),
    ({"device": "gpu"}, "device is 'gpu'"),
    ({"device": "cuda:99"}, "device is 'cuda:99'"),
    ({"device": 3.5}, "device is 3.5"),
    ({"classifier": lambda images: images}, "classifier is <function"),
    ({"classifier": torch.nn.Flatten()}, r"classifier gives \(2, 576\) for 2 images"),
    ({"classifier": torch.nn.Linear(10, 2)}, r"classifier does not take float32 images of \(n, 1, 24, 24\)"),
    ({"classifier": Ink(threshold=float("nan"))}, "classifier gives logits that are not finite"),
]


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize(("settings", "message"), WRONG)
def test_wrong_settings_are_refused_before_anything_is_drawn(settings, message):
    with pytest.raises(ValueError, match=message):
        Benchmark(**{"logger": None, **settings})


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"explainer": "styelx"}, UnknownName, "stylex"),
        ({"explainer": ""}, UnknownName, "dive"),
        ({"explainer": None}, ValueError, "explainer is None: give a name"),
        ({"explainer": 5}, ValueError, "explainer is 5"),
        ({"explainer": Ink}, ValueError, "subclass of ExplainerBase"),
        ({"explainer": Own(2)}, ValueError, "give the class, and its arguments by name"),
        ({"explainer": "is", "device": "gpu"}, ValueError, "device is 'gpu'"),
        ({"explainer": "dive", "lr": -1}, ValueError, "lr = -1"),
        ({"explainer": "dive", "lr": float("nan")}, ValueError, "lr"),
        ({"explainer": "dive", "method": "fast"}, ValueError, "method"),
        ({"explainer": "dive", "num_explanations": 0}, ValueError, "num_explanations = 0"),
        ({"explainer": "dive", "num_explanations": True}, ValueError, "num_explanations"),
        ({"explainer": "dive", "step": 1}, ValueError, "'step' is not a parameter"),
        ({"explainer": Own, "step": 1}, TypeError, "step"),
    ],
)
def test_wrong_runs_are_refused(arguments, error, message):
    bn = Benchmark(logger=None, classifier=Ink(), n_samples=4)
    with pytest.raises(error, match=message):
        bn.run(**arguments)
    assert bn.summarize().empty


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize("entries", ["dive", {"explainer": "dive"}, ["dive"], [{"lr": 0.1}], [None]])
def test_wrong_lists_of_runs_are_refused(entries):
    bn = Benchmark(logger=None, classifier=Ink(), n_samples=4)
    with pytest.raises(ValueError, match=r"exp_list has .*, expected a list such as"):
        bn.runs(entries)
