"""Where `Benchmark` writes, on a classifier that needs no training."""

import re
from pathlib import Path

import pandas as pd
import pytest
from letters import Ink
from rrrbench.benchmark.compat import bex
from rrrbench.benchmark.compat.bex.loggers import run_key
from rrrbench.benchmark.compat.bex.names import NAMES
from rrrbench.benchmark.store.mirror import Mirror
from rrrbench.benchmark.store.records import RecordStore

DOCS = Path(__file__).parents[4] / "docs" / "counterfactuals.md"
FAST = {"num_explanations": 3}


def benchmark(**settings):
    return bex.Benchmark(**{"batch_size": 5, "n_samples": 8, "classifier": Ink(), "logger": None, **settings})


def test_the_basic_logger_writes_a_table_and_a_picture(tmp_path):
    bn = benchmark(logger=bex.BasicLogger)
    numbers = bn.run("is", output_path=tmp_path / "is", **FAST)
    row = pd.read_csv(tmp_path / "is" / "results.csv").iloc[0]
    assert row["success"] == pytest.approx(numbers["success"])
    assert row["explainer"] == "is[num_explanations=3]"
    assert len(row["digest"]) == 64
    assert (tmp_path / "is" / "counterfactuals.png").stat().st_size > 1000


@pytest.mark.long
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


@pytest.mark.long
def test_results_have_bex_s_names_beside_ours(tmp_path):
    batches = []

    class Watching(bex.BasicLogger):
        def accumulate(self, data, images):
            super().accumulate(data, images)
            batches.append(dict(data))

    numbers = benchmark(logger=Watching).run("is", output_path=tmp_path / "out", **FAST)
    row = pd.read_csv(tmp_path / "out" / "results.csv").iloc[0]
    assert set(NAMES) == {"SCE", "Non-Causal Flip", "Causal Flip", "Trivial", "Cardinality (S#)"}
    for theirs, ours in NAMES.items():
        assert row[theirs] == pytest.approx(numbers[ours], nan_ok=True)
        assert all(batch[theirs] == pytest.approx(batch[ours], nan_ok=True) for batch in batches)


def test_the_table_of_names_is_documented():
    rows = dict(re.findall(r"\| `([^`]+)` \| `([a-z_]+)` \|", DOCS.read_text()))
    assert {theirs: rows.get(theirs) for theirs in NAMES} == NAMES


@pytest.mark.long
def test_a_named_folder_is_written_by_the_default_logger_too(uri, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("RRRBENCH_HOME", str(tmp_path / "home"))
    bn = bex.Benchmark(batch_size=5, n_samples=8, classifier=Ink())
    bn.run("IS", output_path=str(tmp_path / "output" / "is"), **FAST)
    assert {path.name for path in (tmp_path / "output" / "is").iterdir()} == {"results.csv", "counterfactuals.png"}
    assert pd.read_csv(tmp_path / "output" / "is" / "results.csv")["SCE"].notna().all()
    bn.run("IS", **FAST)
    assert not (tmp_path / "home" / "counterfactuals").exists(), "no folder is named, MLflow has it"


@pytest.mark.long
def test_a_folder_is_there_for_a_logger_that_writes_into_it_and_a_parameter_s_slashes_lead_nowhere_else(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("RRRBENCH_HOME", str(tmp_path / "home"))
    seen = []

    class Notes(bex.BasicLogger):
        def __init__(self, attributes, path, n_batches=10):
            super().__init__(attributes, path, n_batches)
            seen.append(self.path)
            (self.path / "notes.txt").write_text("begun")

    class Still(bex.ExplainerBase):
        def __init__(self, where):
            self.where = where

        def explain_batch(self, latents, *others):
            return latents[:, None]

    benchmark(logger=Notes).run(Still, where="../../../elsewhere/" + "x" * 300)
    (folder,) = seen
    assert folder.parent == tmp_path / "home" / "counterfactuals"
    assert folder.name.startswith("Still[where=")
    assert len(folder.name) < 130


def test_a_file_in_the_way_of_the_folder_is_named(tmp_path):
    (tmp_path / "taken").write_text("")
    for path in (tmp_path / "taken", tmp_path / "taken" / "below"):
        with pytest.raises(ValueError, match=r"output_path is .*taken.*, where a file is in the way: name a folder"):
            benchmark(logger=bex.BasicLogger).run("is", output_path=path)


@pytest.mark.long
def test_mlflow_has_configuration_metrics_and_picture(uri, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    bn = benchmark(logger=bex.MlflowLogger)
    numbers = bn.run("is", **FAST)
    client = Mirror(uri, "bex", RecordStore(tmp_path)).client
    (run,) = client.search_runs([client.get_experiment_by_name("bex").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["run_key"] == run_key(bn.attributes("is", **FAST))
    assert run.data.params["corr_level"] == "0.95"
    assert run.data.metrics["success"] == pytest.approx(numbers["success"])
    assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["counterfactuals.png"]
