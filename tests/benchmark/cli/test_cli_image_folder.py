"""A suite on photos of a folder, from the command to the leaderboard."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from photo_folder import save, write_photos
from rrrbench.benchmark.cli import app
from rrrbench.benchmark.running.data_files import ReplacedFile
from rrrbench.benchmark.suite.loading import load_suite
from typer.testing import CliRunner

SUITE = """
description = "photos"
seeds = [0, 1]
[[sweeps]]
dataset = { name = "image-folder", root = "photos", size = 16 }
network = { name = "mlp", hidden = [8] }
training = { epochs = 2, batch_size = 32 }
[[sweeps.mitigations]]
mitigation = "erm"
[[sweeps.mitigations]]
mitigation = "rrr"
strengths = [0.1, 1.0]
"""


@pytest.fixture
def invoke(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    write_photos(tmp_path / "photos", each=16)
    (tmp_path / "own.toml").write_text(SUITE)
    return lambda *words: CliRunner().invoke(app, list(words), catch_exceptions=False)


@pytest.mark.slow
def test_photos_are_trained_on_ranked_resumed_and_watched(invoke, tmp_path, session):
    first = invoke("run", "own.toml", "--device", "cpu")
    assert first.exit_code == 0, first.output
    assert "6 of 6 runs recorded" in first.output
    assert "image-folder-photos[size=16]" in first.output
    assert "accuracy/exchanged: on twins that are made up from masks" in first.output
    assert first.output.count("flip_rate\n") <= 1
    board = pd.read_csv(io.StringIO(invoke("leaderboard", "own.toml", "--format", "csv").stdout))
    assert {"accuracy/exchanged", "flip_rate/exchanged", "regret"} <= set(board.columns)
    assert "flip_rate" not in board.columns  # no number of made-up twins is called as a true one's
    assert set(board["mitigation"]) == {"erm", "rrr"}

    again = invoke("run", "own.toml", "--device", "cpu")
    assert again.exit_code == 0
    assert "6 of 6 runs recorded" in again.output

    finished = session(load_suite("own.toml"), home=tmp_path / "results/local")
    assert finished.run().trained == 0
    save(tmp_path / "photos/images/cat/00.png", np.full((16, 16), 7, np.uint8))
    with pytest.raises(ReplacedFile, match=r"photos: the content has changed since .*\n?.*image-folder-photos"):
        session(load_suite("own.toml"), home=tmp_path / "results/local").run()
    refused = invoke("run", "own.toml", "--device", "cpu")
    assert refused.exit_code != 0
    assert "the content has changed" in refused.output


@pytest.mark.long
def test_a_photo_that_does_not_fit_is_an_error_without_a_traceback(invoke, tmp_path):
    (tmp_path / "photos/images/dog/03.png").write_text("<html>404</html>")
    broken = invoke("run", "own.toml", "--device", "cpu")
    assert broken.exit_code != 0
    assert "dog/03.png is no image or a damaged one" in broken.output.replace("\n", "")


def test_more_in_a_batch_than_there_are_photos_is_an_error(invoke, tmp_path):
    (tmp_path / "own.toml").write_text(SUITE.replace("batch_size = 32", "batch_size = 320"))
    large = invoke("run", "own.toml", "--device", "cpu")
    assert large.exit_code != 0
    assert "batch_size = 320 is larger than the training data" in large.output.replace("\n", " ")
