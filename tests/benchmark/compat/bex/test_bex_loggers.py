"""Where `Benchmark` writes, on a classifier that needs no training."""

import pandas as pd
import pytest
from letters import Ink
from rrrbench.benchmark.compat import bex
from rrrbench.benchmark.compat.bex.loggers import run_key
from rrrbench.benchmark.store.mirror import Mirror
from rrrbench.benchmark.store.records import RecordStore

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
