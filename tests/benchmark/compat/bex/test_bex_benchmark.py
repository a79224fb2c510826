"""`Benchmark` with bex's arguments, on a classifier that needs no training."""

import random
import re
import socket
from pathlib import Path

import pytest
import torch
from letters import Ink
from rrrbench.benchmark.compat import bex
from rrrbench.benchmark.compat.bex.explainers import ported
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.registry import UnknownName
from rrrbench.methods.explainers.counterfactual.base import counterfactuals

DOCS = Path(__file__).parents[4] / "docs" / "counterfactuals.md"

FAST = {"num_explanations": 3}


def benchmark(**settings):
    return bex.Benchmark(**{"batch_size": 5, "n_samples": 8, "classifier": Ink(), "logger": None, **settings})


class DummyExplainer(bex.ExplainerBase):
    """As in bex's documentation."""

    def __init__(self, num_explanations):
        super().__init__()
        self.num_explanations = num_explanations

    def explain_batch(self, latents, logits, images, classifier, generator):
        b, c = latents.size()
        z = latents[:, None, :].repeat(1, self.num_explanations, 1)
        z_perturbed = z + random.random()
        return z_perturbed.view(b, self.num_explanations, c)


def test_the_documented_example_runs_and_is_reproducible():
    bn = benchmark()
    first, second = bn.run(DummyExplainer, num_explanations=4), bn.run(DummyExplainer, num_explanations=4)
    assert first == pytest.approx(second, nan_ok=True)
    assert list(bn.summarize()["explainer"]) == ["DummyExplainer[num_explanations=4]"] * 2


def test_a_subclass_needs_one_method_only():
    class Still(bex.ExplainerBase):
        def explain_batch(self, latents, logits, images, classifier, generator):
            return latents[:, None]

    assert benchmark().run(Still)["success"] == 0


@pytest.mark.long
def test_an_explainer_of_the_user_s_may_end_one_that_is_registered():
    class Halfway(bex.Dice):
        def explain_batch(self, latents, *others):
            return latents[:, None] + 0.5 * (super().explain_batch(latents, *others) - latents[:, None])

    bn = benchmark()
    assert bn.run(Halfway, **FAST) != bn.run("dice", **FAST)
    assert list(bn.summarize()["explainer"]) == ["Halfway[num_explanations=3]", "dice[num_explanations=3]"]


@pytest.mark.usefixtures("shapes_unchecked")
def test_a_shape_that_is_wrong_is_told_with_the_class_s_name():
    class Flat(bex.ExplainerBase):
        def explain_batch(self, latents, *_):
            return latents

    with pytest.raises(ValueError, match=r"Flat gave explanations of shape \(5, 11\), expected \(5, n, 11\)"):
        benchmark().run(Flat)


@pytest.mark.long
def test_no_classifier_is_written_where_no_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RRRBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("rrrbench.benchmark.compat.bex.benchmark.TRAINING", Training(epochs=1, batch_size=500))
    benchmark(classifier=None).run("is", **FAST)
    assert not list(tmp_path.iterdir())
    benchmark(classifier=None, data_path=tmp_path / "kept").run("is", **FAST)
    assert [path.parent.name for path in tmp_path.rglob("*.pt")] == ["kept"]


@pytest.mark.long
def test_runs_takes_names_and_summarize_has_a_row_each():
    bn = benchmark()
    bn.runs([{"explainer": "dive", "lr": 0.2}, {"explainer": "IS"}, {"explainer": ported("dummy")}], num_explanations=2)
    table = bn.summarize()
    assert list(table["explainer"]) == ["dive[lr=0.2,num_explanations=2]", "is[num_explanations=2]",
                                        "dummy[num_explanations=2]"]  # fmt: skip
    assert {"success", "causal_flip", "non_causal_flip", "trivial", "cardinality", "shortcut_hit"} <= set(table)
    assert (table["corr_level"] == 0.95).all()
    assert (table["seed"] == 0).all()


@pytest.mark.long
@pytest.mark.parametrize("name", counterfactuals.names())
def test_every_explainer_runs_on_letters(name):
    numbers = benchmark().run(name, **FAST)
    assert 0 <= numbers["success"] <= 1
    assert numbers["success"] + numbers["trivial"] <= 1


@pytest.mark.long
def test_the_classifier_and_the_global_draws_are_as_before():
    classifier = Ink().train()
    random.seed(3)
    before = random.getstate(), torch.get_rng_state()
    benchmark(classifier=classifier).run("dice", **FAST)
    assert classifier.training
    assert classifier.threshold.grad is None
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_fault_it_needs_the_network(monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a connection"))
    benchmark(download=True, num_workers=8).run("is", **FAST)


def test_wrong_names_and_arguments_are_told():
    with pytest.raises(UnknownName, match="stylex"):
        benchmark().run("styelx")
    with pytest.raises(ValueError, match="n_samples is 0"):
        benchmark(n_samples=0)
    with pytest.raises(ValueError, match="breadth is 7"):
        benchmark(n_corr=7).run("is")


@pytest.mark.long
def test_the_code_in_the_documentation_runs(monkeypatch, capsys):
    monkeypatch.setattr("rrrbench.benchmark.compat.bex.benchmark.trained", lambda *_: Ink())
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    exec(compile(code.replace("n_samples=100", "n_samples=4"), DOCS.name, "exec"), {})
    assert "dive[method=random]" in capsys.readouterr().out
