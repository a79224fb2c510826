"""bex's front door, on a classifier that needs no training. One test trains: 200 letters, one epoch."""

import math
import random
import re
import socket
from pathlib import Path

import pandas as pd
import pytest
import torch
from letters import Ink, bold_glyphs
from mlflow import MlflowClient
from rrrbench.benchmark.cli.main import app
from rrrbench.benchmark.compat import bex
from rrrbench.benchmark.counterfactuals import subject as subject_module
from rrrbench.benchmark.counterfactuals import track
from rrrbench.benchmark.counterfactuals.evaluation import evaluate, what_changed
from rrrbench.benchmark.counterfactuals.loggers import run_key
from rrrbench.benchmark.counterfactuals.subject import subject, trained
from rrrbench.benchmark.store.tracking import Tracker
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.glyphs import draw_glyphs
from rrrbench.datasets.registry import UnknownName
from rrrbench.methods.explainers.counterfactual import COUNTERFACTUALS, Dice, Dummy, InformedSearch
from typer.testing import CliRunner

DOCS = Path(__file__).parents[3] / "docs" / "counterfactuals.md"

FAST = {"num_explanations": 3}


def benchmark(**settings):
    return bex.Benchmark(**{"batch_size": 5, "n_samples": 8, "classifier": Ink(), "logger": None, **settings})


@pytest.fixture(scope="module")
def bold():
    return subject(bold_glyphs(), Ink(), 60)


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


def test_runs_takes_names_and_summarize_has_a_row_each():
    bn = benchmark()
    bn.runs([{"explainer": "dive", "lr": 0.2}, {"explainer": "IS"}, {"explainer": Dummy}], num_explanations=2)
    table = bn.summarize()
    assert list(table["explainer"]) == ["dive[lr=0.2,num_explanations=2]", "is[num_explanations=2]",
                                        "dummy[num_explanations=2]"]  # fmt: skip
    assert {"success", "causal_flip", "non_causal_flip", "trivial", "cardinality", "shortcut_hit"} <= set(table)
    assert (table["corr_level"] == 0.95).all()
    assert (table["seed"] == 0).all()


@pytest.mark.parametrize("name", COUNTERFACTUALS)
def test_every_explainer_runs_on_letters(name):
    numbers = benchmark().run(name, **FAST)
    assert 0 <= numbers["success"] <= 1
    assert numbers["success"] + numbers["trivial"] <= 1


def test_the_oracle_hits_where_the_classifier_uses_the_shortcut(bold):
    assert 0.3 < bold.used.double().mean() < 1
    verdicts = evaluate(InformedSearch(), bold)
    assert verdicts.hit[bold.used].double().mean() > 0.9
    assert verdicts.hit[~bold.used].double().mean() < 0.1
    dummy = evaluate(Dummy(), bold)
    assert dummy.hit[bold.used].double().mean() < 0.3


def test_the_size_of_batches_does_not_matter_to_an_explainer_that_draws_nothing(bold):
    one, other = (evaluate(InformedSearch(), bold, batch_size) for batch_size in (7, 60))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_classifier_and_the_global_draws_are_as_before():
    classifier = Ink().train()
    random.seed(3)
    before = random.getstate(), torch.get_rng_state()
    benchmark(classifier=classifier).run("dice", **FAST)
    assert classifier.training
    assert classifier.threshold.grad is None
    assert random.getstate() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_explanations_of_a_wrong_shape_or_not_finite_are_refused(bold):
    class Flat(bex.ExplainerBase):
        def explain_batch(self, latents, *_):
            return latents

    class Nan(bex.ExplainerBase):
        def explain_batch(self, latents, *_):
            return latents[:, None] * math.nan

    with pytest.raises(ValueError, match=r"Flat.explain_batch returned shape \(12, 11\), expected \(12, n, 11\)"):
        evaluate(Flat(), bold)
    with pytest.raises(ValueError, match="not finite"):
        evaluate(Nan(), bold)


def test_an_explainer_may_write_into_what_it_is_given(bold):
    class Vandal(Dice):
        def explain_batch(self, latents, logits, images, classifier, generator):
            found = latents[:, None] + 0.1
            for tensor in (latents, logits, images):
                tensor.zero_()
            return found

    before = bold.letters.latents.clone()
    evaluate(Vandal(), bold)
    assert torch.equal(bold.letters.latents, before)


def test_what_changed_is_said_in_words(bold):
    latents = bold.letters.latents[:1].clone()
    renderer = bold.glyphs.renderer
    changed = latents[:, None].repeat(1, 3, 1)
    own = int(renderer.nearest(latents)[1])
    other = (own + 1) % 22
    changed[0, 1, 3:6] = renderer.font_latents[other]
    changed[0, 2, 8] += 0.4
    from rrrbench.datasets.glyphs import FONTS

    assert what_changed(latents, changed, renderer)[0] == [[], [FONTS[other]], ["x +0.4"]]


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


def test_the_code_in_the_documentation_runs(monkeypatch, capsys):
    monkeypatch.setattr("rrrbench.benchmark.counterfactuals.benchmark.trained", lambda *_: Ink())
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), flags=re.DOTALL)
    exec(compile(code.replace("n_samples=100", "n_samples=4"), DOCS.name, "exec"), {})
    assert "dive[method=random]" in capsys.readouterr().out


# The classifier


def test_a_classifier_is_trained_once_for_the_same_letters(tmp_path, monkeypatch):
    glyphs, training = draw_glyphs(0, train=200, validation=20), Training(epochs=1, batch_size=50)
    state = torch.get_rng_state()
    first = trained(glyphs, training, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(subject_module, "_fit", lambda *_: pytest.fail("trained again"))
    again = trained(draw_glyphs(0, train=200, validation=20), training, tmp_path)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
    assert len(list(tmp_path.iterdir())) == 1
    for other in ((draw_glyphs(1, train=200, validation=20), training), (glyphs, Training(epochs=2, batch_size=50))):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            trained(*other, tmp_path)


# Loggers


def test_the_basic_logger_writes_a_table_and_a_picture(tmp_path):
    bn = benchmark(logger=bex.BasicLogger)
    numbers = bn.run("is", output_path=tmp_path / "is", **FAST)
    row = pd.read_csv(tmp_path / "is" / "results.csv").iloc[0]
    assert row["success"] == pytest.approx(numbers["success"])
    assert row["explainer"] == "is[num_explanations=3]"
    assert len(row["digest"]) == 64
    assert (tmp_path / "is" / "counterfactuals.png").stat().st_size > 1000


def test_metrics_have_the_same_names_with_a_logger_and_without(tmp_path):
    """bex called a column 'Causal FLip' in one and 'Causal Flip' in the other."""
    silent, loud = benchmark(), benchmark(logger=bex.BasicLogger)
    assert list(silent.run("is")) == list(loud.run("is", output_path=tmp_path))
    assert set(silent.run("is")) <= set(pd.read_csv(tmp_path / "results.csv"))


def test_a_logger_of_one_s_own():
    logged = []

    class Own(bex.BasicLogger):
        def accumulate(self, data, images):
            super().accumulate(data, images)
            logged.append(("batch", data["success"], tuple(images.counterfactuals.shape)))

        def log(self):
            self.prepare_images_to_log()
            logged.append((self.attributes["explainer"], self.results["success"], self._figure))

    benchmark(logger=Own).run("is", **FAST)
    assert [entry[0] for entry in logged] == ["batch", "batch", "is[num_explanations=3]"]
    assert logged[0][2] == (5, 3, 1, 24, 24)
    assert logged[1][2] == (3, 3, 1, 24, 24)


def test_mlflow_has_configuration_metrics_and_picture(uri, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    bn = benchmark(logger=bex.MlflowLogger)
    numbers = bn.run("is", **FAST)
    ((tags, parameters, metrics),) = Tracker(uri, "counterfactuals").flat("counterfactual")
    assert tags["run_key"] == run_key(bn.attributes("is", **FAST))
    assert parameters["corr_level"] == "0.95"
    assert metrics["success"] == pytest.approx(numbers["success"])
    tracker = Tracker(uri, "counterfactuals")
    (run,) = tracker.client.search_runs([tracker.experiment_id])
    assert [file.path for file in tracker.client.list_artifacts(run.info.run_id)] == ["counterfactuals.png"]


# The track


@pytest.fixture
def small_track(uri, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(track, "SETTINGS", ((0.95, 10),))
    monkeypatch.setattr(track, "SEEDS", (0, 1, 2))
    monkeypatch.setattr(track, "INPUTS", 6)
    monkeypatch.setattr(track, "ENTRIES", ({"explainer": "is"}, {"explainer": "dummy"}))
    made = []
    monkeypatch.setattr(
        "rrrbench.benchmark.counterfactuals.benchmark.trained", lambda glyphs, *_: made.append(glyphs) or Ink()
    )
    return made


@pytest.mark.slow
def test_the_track_makes_a_leaderboard_and_goes_on_where_it_was(small_track, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(app, ["run", "counterfactuals", "--device", "cpu"], catch_exceptions=False)
    assert "corr_level 0.95, n_corr 10" in outcome.output
    text = track.run(folder=tmp_path)
    assert text.splitlines()[:-1] == [line for line in outcome.stdout.splitlines() if "wrote" not in line]
    board = pd.read_csv(tmp_path / "counterfactuals.csv")
    assert sorted(board["explainer"]) == ["dummy", "is"]
    assert (board["seeds"] == 3).all()
    assert {"shortcut_hit_used:low", "success:high"} <= set(board)
    assert (tmp_path / "counterfactuals.md").read_text().startswith("### corr_level")
    assert len(small_track) == 3
    assert track.run(folder=tmp_path) == text
    assert len(small_track) == 3, "trained again"
    monkeypatch.setattr(track, "ENTRIES", ({"explainer": "is"}, {"explainer": "dummy"}, {"explainer": "stylex"}))
    assert "stylex" in track.run(folder=tmp_path)


@pytest.mark.slow
def test_a_track_that_was_killed_while_it_logged_loses_nothing_and_logs_nothing_twice(
    small_track, uri, tmp_path, monkeypatch
):
    log_figure, calls = MlflowClient.log_figure, []

    def killed(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        log_figure(*arguments, **settings)

    monkeypatch.setattr(MlflowClient, "log_figure", killed)
    with pytest.raises(KeyboardInterrupt):
        track.run(folder=tmp_path / "first")
    tracker = Tracker(uri, "counterfactuals")
    runs = tracker.client.search_runs([tracker.experiment_id])
    assert sorted(run.info.status for run in runs) == ["FINISHED", "RUNNING"]
    text = track.run(folder=tmp_path / "again")
    assert len(calls) == 7, "a finished run was made again"
    runs = tracker.client.search_runs([tracker.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 6
    assert len({run.data.tags["run_key"] for run in runs}) == 6
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/other.db")
    undisturbed = track.run(folder=tmp_path / "again")
    assert undisturbed == text


def test_the_track_runs_in_this_process_and_says_so():
    outcome = CliRunner().invoke(app, ["run", "counterfactuals", "--executor", "processes"])
    assert outcome.exit_code == 2
    assert "leave out --executor processes" in outcome.output


def test_the_table_says_who_is_no_better_than_the_dummy():
    rows = pd.DataFrame([
        {"corr_level": 0.95, "n_corr": 10, "explainer": explainer, "seed": seed,
         **{metric.id: 0.5 for metric in track.METRICS},
         "shortcut_hit_used": hit + 0.01 * seed, "success": success + 0.1 * seed}
        for explainer, hit, success in (("dummy", 0.1, 0.5), ("is", 0.9, 0.6), ("poor", 0.3, 0.4), ("same", 0.1, 0.5))
        for seed in range(3)
    ])  # fmt: skip
    board = track.leaderboard(rows)
    assert list(board["explainer"])[:2] == ["is", "poor"]
    notes = dict(zip(board["explainer"], board["note"], strict=True))
    assert notes == {
        "is": "",
        "dummy": "",
        "poor": "not above dummy: success",
        "same": "not above dummy: shortcut_hit_used, success",
    }
    assert board.loc[0, "success"] == pytest.approx(0.7)
