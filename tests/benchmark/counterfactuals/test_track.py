"""The track `rrrbench run counterfactuals`, on a classifier that needs no training."""

import pandas as pd
import pytest
from letters import Ink
from mlflow import MlflowClient
from rrrbench.benchmark.cli.main import app
from rrrbench.benchmark.counterfactuals import track
from rrrbench.benchmark.store.tracking import Tracker
from typer.testing import CliRunner


@pytest.fixture
def small_track(uri, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(track, "SETTINGS", ((0.95, 10),))
    monkeypatch.setattr(track, "SEEDS", (0, 1, 2))
    monkeypatch.setattr(track, "INPUTS", 6)
    monkeypatch.setattr(track, "ENTRIES", ({"explainer": "is"}, {"explainer": "dummy"}))
    made = []
    monkeypatch.setattr(
        "rrrbench.benchmark.compat.bex.benchmark.trained", lambda glyphs, *_: made.append(glyphs) or Ink()
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
