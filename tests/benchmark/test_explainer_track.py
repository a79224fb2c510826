"""The ranking of explainers: networks of known reliance, what is measured on them, and the board."""

import os

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import tiny_suite
from rrrbench.benchmark import evaluate, explainer_board
from rrrbench.benchmark.engine import Trainer
from rrrbench.benchmark.executors.base import Task, run_stack
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.suite import load_suite, parse_suite
from rrrbench.benchmark.training import Training
from rrrbench.datasets import make
from rrrbench.datasets.registry import UnknownName
from rrrbench.methods.explainers.base import explainers
from typer.testing import CliRunner

FEW = ["gradient_times_input", "gradcam", "random_attribution"]


def suite_with(explainers=FEW, network="mlp", **changes):
    sweep = {
        "dataset": {"name": "decoy", "base": "digits"},
        "network": network,
        "training": {"epochs": 1, "batch_size": 256},
        "mitigations": [{"mitigation": "erm"}],
        **changes,
    }
    return parse_suite({"name": "few", "seeds": [0], "explainers": explainers, "sweeps": [sweep]}, "few")


# Networks of known reliance.


@pytest.mark.parametrize("network", ["lenet", "mlp"])
@pytest.mark.parametrize("pixel_range", ["unit", "native", (-1.0, 1.0)])
def test_a_blinkered_network_provably_sees_one_part(network, pixel_range):
    draw = make("decoy", 0, base="digits")
    aligned, random = (draw.test(name).batch(slice(0, 20)) for name in ("aligned", "random"))
    masks = aligned.masks.expand_as(aligned.inputs)
    noise = torch.rand(aligned.inputs.shape)
    for sees in ("masks", "rest"):
        recipe = {"name": "blinkered", "sees": sees, "network": network, "pixel_range": pixel_range}
        module = networks.resolve(recipe).build(draw, 0)
        elsewhere = torch.where(masks.any(0), aligned.inputs, noise)  # other pixels, the same four corners
        same = torch.equal(module(aligned.inputs), module(elsewhere))
        assert same == (sees == "masks")
        assert torch.equal(module(aligned.inputs), module(random.inputs)) == (sees == "rest")
        plain = networks.resolve({"name": network, "pixel_range": pixel_range}).build(draw, 0)
        for ours, theirs in zip(module.parameters(), plain.parameters(), strict=True):
            assert torch.equal(ours, theirs)


def test_a_blind_network_never_flips():
    network = {"name": "blinkered", "sees": "rest", "network": "mlp"}
    (record,) = run_stack(Task(suite_with(network=network).stacks()[0])).records
    assert record.metrics["flip_rate"] == 0
    assert record.metrics["mass_abs/gradient_times_input"] == 0


# What is measured, and under which key.


def test_explainers_are_part_of_the_key_and_without_any_it_is_as_ever():
    suite, other = suite_with(), suite_with(["gradcam"])
    plain = suite_with([])
    assert "explainers" not in plain.stacks()[0].configuration(0.0, 0)
    assert suite.stacks()[0].configuration(0.0, 0)["explainers"][0] == {"name": "gradient_times_input"}
    assert len({*suite.keys(), *other.keys(), *plain.keys()}) == 3
    assert plain.stacks()[0].sweep_key == suite.stacks()[0].sweep_key


def test_an_unknown_explainer_is_named():
    with pytest.raises(UnknownName, match="did you mean gradcam"):
        suite_with(["gradcamm"])


def test_a_record_has_the_protocol_s_explainers_and_those_that_are_able():
    result = run_stack(Task(suite_with().stacks()[0]))
    measured = result.records[0].metrics
    assert {f"mass_abs/{name}" for name in (*evaluate.EXPLAINERS, "gradient_times_input")} <= measured.keys()
    assert "mass_abs/gradcam" not in measured  # a dense network has no convolution
    assert measured["untrained_rank_correlation/random_attribution"] == 1
    assert measured["untrained_rank_correlation/input_gradient"] < 0.9
    assert result.panel is not None
    assert result.panel.startswith(b"\x89PNG")
    plain = run_stack(Task(suite_with([]).stacks()[0]))
    assert plain.panel is None
    assert not any(name.startswith("untrained") for name in plain.records[0].metrics)
    shared = {name: value for name, value in plain.records[0].metrics.items() if not name.startswith("seconds")}
    assert shared.items() <= measured.items()


def test_every_explainer_changes_with_the_weights_but_the_floor():
    """Adebayo et al. 2018: a network of other weights is attributed otherwise."""
    draw = make("decoy", 0, base="digits")
    trainer = Trainer(networks.resolve("lenet"), [draw], Training(epochs=1), torch.zeros(1, 1))
    inputs = draw.test("random").batch(slice(0, 2)).inputs
    other = networks.resolve("lenet").build(draw, 1)
    for name in explainers.names():
        explainer = explainers.resolve(name)
        one, two = (explainer.attribute(net, inputs, torch.tensor([3, 5])) for net in (trainer.modules[0], other))
        assert torch.allclose(one, two) == (name == "random_attribution")


# The board.


def made_up(seeds=2):
    """Six networks a seed: an explainer follows their reliance, one reverses it, one is constant, one saw only four."""
    rows = []
    for seed in range(seeds):
        for i, flips in enumerate([0.0, 0.01, 0.04, 0.2, 0.5, 0.9]):
            row = {"dataset": "made-up", "network": f"n{i}", "mitigation": "erm", "seed": seed, "status": "finished"}
            row |= {"flip_rate": flips, "mass_abs/good": flips**2, "mass_abs/bad": 1 - flips, "mass_abs/floor": 0.1}
            row |= {"mass_abs/half_blind": flips if i > 1 else np.nan, "untrained_rank_correlation/good": 0.25}
            rows.append(row)
    return pd.DataFrame([*rows, {**rows[0], "status": "diverged", "mass_abs/good": 1.0}])


def test_explainers_are_ranked_by_how_they_follow_reliance():
    board = explainer_board.explainer_board(made_up()).set_index("explainer")
    assert list(board.index) == ["good", "half_blind", "floor", "bad"]
    assert board["rank_correlation"].tolist() == pytest.approx([1, 1, 0, -1])
    assert board["auroc"].tolist() == pytest.approx([1, 1, 0.5, 0])
    assert board["networks"].tolist() == [6, 4, 6, 6]
    assert board.loc["good", ["untrained", "untrained:low", "untrained:high"]].tolist() == [0.25] * 3
    assert np.isnan(board.loc["bad", "untrained"])


def test_a_rank_correlation_by_hand():
    """Ranks 1 2 3 4 against 3 1 4 2: 1 - 6 (4 + 1 + 1 + 4) / 60 = 0; users are the last two: above in 3 of 4 pairs."""
    rows = made_up(seeds=1).head(4).assign(flip_rate=[0.0, 0.01, 0.06, 0.07])
    rows["mass_abs/good"] = [0.2, 0.1, 0.4, 0.15]
    board = explainer_board.explainer_board(rows).set_index("explainer")
    assert board.loc["good", "rank_correlation"] == pytest.approx(1 - 6 * (4 + 1 + 1 + 4) / 60)
    assert board.loc["good", "auroc"] == pytest.approx(3 / 4)


def test_without_users_there_is_no_auroc():
    board = explainer_board.explainer_board(made_up().assign(flip_rate=0.0))
    assert board[["rank_correlation", "auroc"]].isna().all(axis=None)


@pytest.mark.parametrize("format", ["table", "md", "csv"])
def test_the_board_is_rendered(format):
    text = explainer_board.render(explainer_board.explainer_board(made_up()), format)
    assert "half_blind" in text
    assert ("1.00 [1.00, 1.00]" in text) == (format != "csv")
    assert ("### made-up" in text) == (format == "md")


def test_the_command_prints_and_writes_the_board(tmp_path, uri, monkeypatch):
    from rrrbench.benchmark import cli

    (tmp_path / "few.toml").write_text(
        """
        description = "Two networks."
        seeds = [0, 1]
        explainers = ["gradient_times_input", "random_attribution"]
        [[sweeps]]
        dataset = { name = "decoy", base = "digits" }
        network = { name = "mlp", hidden = [8] }
        training = { epochs = 1, batch_size = 256 }
        mitigations = [{ mitigation = "erm" }, { mitigation = "oracle_clean" }]
        """
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(os.environ, "MLFLOW_TRACKING_URI", uri)
    done = CliRunner().invoke(cli.app, ["run", "few.toml", "--engine", "stacked", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "gradient_times_input" in done.output
    assert "rank correlation with flip_rate" in (tmp_path / "results" / "local" / "few-ranked.md").read_text()


def test_the_suite_has_all_kinds_of_networks_and_every_explainer():
    suite = load_suite("explainers")
    assert {explainer.name for explainer in suite.explainers} == set(explainers.names())
    kinds = {(stack.network.id, stack.mitigation.id) for stack in suite.stacks()}
    assert {("lenet", "erm"), ("lenet", "rrr"), ("lenet", "oracle_clean"), ("blinkered", "erm")} <= kinds
    assert ("blinkered[sees=rest]", "erm") in kinds
    assert len(suite.seeds) >= 5
    assert tiny_suite().explainers == ()
