"""The ranking of explainers: networks of known reliance, what is measured on them, and the board."""

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from rrrbench.benchmark.engine.trainer import Trainer
from rrrbench.benchmark.metrics import evaluation, saliency
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.ranking.explainer_board import rank_explainers, render_explainers
from rrrbench.benchmark.running.executors.base import Settings, Task, run_stack
from rrrbench.benchmark.store.frames import flat
from rrrbench.benchmark.suite.loading import load_suite, parse_suite
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets import make
from rrrbench.datasets.registry import UnknownName
from rrrbench.methods.explainers.base import Explainer, explainers
from rrrbench.methods.mitigations.erm import ERM
from tiny import tiny_suite
from typer.testing import CliRunner

FEW = ["gradient_times_input", "gradcam", "random_attribution"]
MASKS_ALONE, BLIND = {"masks": 1.0, "rest": 0.0}, {"masks": 0.0, "rest": 1.0}


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
    noise = torch.rand(aligned.inputs.shape, generator=torch.Generator().manual_seed(0))
    elsewhere = torch.where(masks.any(0), aligned.inputs, noise)  # other pixels, the same four corners
    plain = networks.resolve({"name": network, "pixel_range": pixel_range}).build(draw, 0)
    for factors, sees_masks, sees_rest in (
        (MASKS_ALONE, True, False),
        (BLIND, False, True),
        ({"rest": 0.1}, True, True),
    ):
        recipe = {"name": "blinkered", "network": network, "pixel_range": pixel_range, **factors}
        module = networks.resolve(recipe).build(draw, 0)
        assert torch.equal(module(aligned.inputs), module(elsewhere)) != sees_rest
        assert torch.equal(module(aligned.inputs), module(random.inputs)) != sees_masks
        for ours, theirs in zip(module.parameters(), plain.parameters(), strict=True):
            assert torch.equal(ours, theirs)


def test_the_rest_is_dimmed_by_its_factor():
    draw = make("decoy", 0, base="digits")
    dim = networks.resolve({"name": "blinkered", "rest": 0.25, "network": "mlp"}).build(draw, 0)
    plain = networks.resolve("mlp").build(draw, 0)
    batch = draw.test("aligned").batch(slice(0, 20))
    inputs = torch.where(batch.masks.any(0), 0.0, batch.inputs)
    torch.testing.assert_close(dim(inputs), plain(inputs / 4))


@pytest.mark.slow
def test_a_blind_network_never_flips_and_one_that_sees_masks_alone_does_nothing_else():
    def metrics(**factors):
        network = {"name": "blinkered", "network": "mlp", **factors}
        (record,) = run_stack(
            Task(suite_with(network=network, training={"epochs": 3, "batch_size": 32}).stacks()[0])
        ).records
        return record.metrics

    blind, follower = metrics(**BLIND), metrics(**MASKS_ALONE)
    assert blind["flip_rate"] == blind["mass_abs/gradient_times_input"] == 0
    assert follower["flip_rate"] > 0.5
    assert follower["mass_abs/gradient_times_input"] > 0.9  # a stroke may reach into one of the other corners


def test_seeds_whose_masks_cover_different_pixels_do_not_share_a_stack():
    draws = [make("decoy", seed, base="digits") for seed in (0, 1)]
    strengths = torch.zeros(2, 1)
    assert Trainer(networks.resolve("blinkered"), draws, Training(), strengths).alike
    draws[1] = replace(draws[1], environments={"clean": draws[1].test("clean")})  # without a mask
    apart = Trainer(networks.resolve("blinkered"), draws, Training(), strengths, engine="stacked")
    with pytest.raises(
        ValueError, match="differ from seed to seed in more than their parameters: take single, or auto"
    ):
        ERM().fit(apart)


# What is measured, and under which key.


def test_explainers_are_part_of_the_key_and_without_any_it_is_as_ever():
    suite, other = suite_with(), suite_with(["gradcam"])
    plain = suite_with([])
    assert "explainers" not in plain.stacks()[0].identity(0.0, 0)
    assert suite.stacks()[0].configuration(0.0, 0)["explainers"][0] == {"name": "gradient_times_input"}
    assert len({*suite.keys(), *other.keys(), *plain.keys()}) == 3
    assert plain.stacks()[0].sweep_key == suite.stacks()[0].sweep_key


def test_an_unknown_explainer_is_named():
    with pytest.raises(UnknownName, match="did you mean gradcam"):
        suite_with(["gradcamm"])


@pytest.mark.long
def test_a_record_has_the_protocol_s_explainers_and_those_that_are_able():
    result = run_stack(Task(suite_with().stacks()[0]))
    measured = result.records[0].metrics
    assert {f"mass_abs/{name}" for name in (*evaluation.EXPLAINERS, "gradient_times_input")} <= measured.keys()
    assert "mass_abs/gradcam" not in measured  # a dense network has no convolution
    assert measured["untrained_rank_correlation/random_attribution"] == 1
    assert measured["untrained_rank_correlation/input_gradient"] < 0.9
    assert result.panel is not None
    assert result.panel.png().startswith(b"\x89PNG")
    plain = run_stack(Task(suite_with([]).stacks()[0]))
    assert plain.panel is not None
    assert plain.panel.erm is None
    assert not any(name.startswith("untrained") for name in plain.records[0].metrics)
    explained = tuple(f"{score}/" for score in saliency.SCORES)
    other = ("seconds", "unattributed/", "empty_masks", *explained)  # of 100 inputs there, of 50 here
    shared = {name: value for name, value in plain.records[0].metrics.items() if not name.startswith(other)}
    assert shared.items() <= measured.items()


@pytest.mark.long
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
            row |= {"masks": "true", "training": "", "protocol": "2.0", "sweep_key": f"made-up n{i}"}
            row |= {"strength": 0.0, "untrained_rank_correlation/floor": 1.0}
            row |= {"mass_abs/half_blind": flips if i > 1 else np.nan, "untrained_rank_correlation/good": 0.25}
            rows.append(row)
    return pd.DataFrame([*rows, {**rows[0], "status": "diverged", "mass_abs/good": 1.0}])


def test_explainers_are_ranked_by_how_they_follow_reliance():
    board = rank_explainers(made_up()).set_index("explainer")
    assert list(board.index) == ["good", "half_blind", "floor", "bad"]
    assert board["note"].tolist() == ["", "", "chance, same untrained", "chance"]
    assert board["rank_correlation"].tolist() == pytest.approx([1, 1, 0, -1])
    assert board["auroc"].tolist() == pytest.approx([1, 1, 0.5, 0])
    assert board["networks"].tolist() == [6, 4, 6, 6]
    assert board.loc["good", ["untrained", "untrained:low", "untrained:high"]].tolist() == [0.25] * 3
    assert np.isnan(board.loc["bad", "untrained"])


def test_intervals_of_explainers_are_cut_at_what_a_correlation_and_an_area_can_be():
    rows = made_up()
    second = rows["seed"] == 1
    rows.loc[second, "mass_abs/good"] = rows.loc[second, "mass_abs/bad"]
    rows.loc[second, "untrained_rank_correlation/good"] = 1.0
    rows.loc[second, "flip_rate"] = rows.loc[second, "flip_rate"].clip(upper=0.5)
    board = rank_explainers(rows).set_index("explainer")
    assert board.loc["good", ["rank_correlation:low", "rank_correlation:high"]].tolist() == [-1, 1]
    assert board.loc["good", ["auroc:low", "auroc:high"]].tolist() == [0, 1]
    assert board.loc["good", ["untrained:low", "untrained:high"]].tolist() == [-1, 1]
    assert "0.700 [0.000, 1.000]" in render_explainers(board.reset_index(), rows), "a flip rate"


def test_networks_of_two_trainings_are_two_networks_and_protocols_are_ranked_apart():
    short, long = made_up(), made_up().assign(training="epochs=2", flip_rate=0.5)
    long["sweep_key"] = "short " + long["sweep_key"]
    both = pd.concat([short, long])
    assert rank_explainers(both).set_index("explainer")["networks"].to_dict() == {
        **dict.fromkeys(["good", "bad", "floor"], 12),
        "half_blind": 8,
    }
    text = render_explainers(rank_explainers(both), both, "md")
    assert "| difference" in text
    assert "epochs=50" in text
    assert "epochs=2 " in text
    old = long.assign(protocol="1.0", training="")
    board = rank_explainers(pd.concat([short, old]))
    assert list(board["protocol"].unique()) == ["1.0", "2.0"]
    pd.testing.assert_frame_equal(board[board["protocol"] == "2.0"].reset_index(drop=True), rank_explainers(short))
    assert "### made-up, protocol 1.0" in render_explainers(board, pd.concat([short, old]), "md")


def test_other_masks_are_other_networks():
    runs = pd.concat([made_up(), made_up().assign(masks="wrong", flip_rate=0.0)])
    text = render_explainers(rank_explainers(runs), runs, "md")
    assert "| wrong" in text
    assert "0.900 [0.900, 0.900]" in text, "the flip rate with true masks alone"


def test_a_rank_correlation_by_hand():
    """Ranks 1 2 3 4 against 3 1 4 2: 1 - 6 (4 + 1 + 1 + 4) / 60 = 0; users are the last two: above in 3 of 4 pairs."""
    rows = made_up(seeds=1).head(4).assign(flip_rate=[0.0, 0.01, 0.06, 0.07])
    rows["mass_abs/good"] = [0.2, 0.1, 0.4, 0.15]
    board = rank_explainers(rows).set_index("explainer")
    assert board.loc["good", "rank_correlation"] == pytest.approx(1 - 6 * (4 + 1 + 1 + 4) / 60)
    assert board.loc["good", "auroc"] == pytest.approx(3 / 4)


def test_without_users_there_is_no_auroc():
    board = rank_explainers(made_up().assign(flip_rate=0.0))
    assert board[["rank_correlation", "auroc"]].isna().all(axis=None)


@pytest.mark.parametrize("format", ["table", "md", "csv"])
def test_the_board_is_rendered(format):
    text = render_explainers(rank_explainers(made_up()), made_up(), format)
    assert "half_blind" in text
    assert ("1.00 [1.00, 1.00]" in text) == (format != "csv")
    assert ("0.900 [0.900, 0.900]" in text) == (format != "csv")  # a network's flip rate
    assert ("### made-up" in text) == (format == "md")


@pytest.mark.slow
def test_the_command_prints_and_writes_the_board(tmp_path, uri, monkeypatch):
    from rrrbench.benchmark.cli import app

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
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    done = CliRunner().invoke(app, ["run", "few.toml", "--engine", "stacked", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert "rank correlation with flip_rate" in done.output
    written = (tmp_path / "results" / "local" / "few.md").read_text()
    again = CliRunner().invoke(app, ["leaderboard", "few.toml", "--format", "md"])
    assert again.stdout.strip() == written.strip()
    (floor,) = [line for line in written.splitlines() if line.startswith("| random_attribution")]
    assert "same untrained" in floor


@pytest.mark.slow
def test_a_killed_suite_goes_on_to_what_an_undisturbed_one_has(session, monkeypatch):
    suite = suite_with(mitigations=[{"mitigation": "erm"}, {"mitigation": "rrr", "strengths": [0.1, 1.0]}])
    killed = session(suite)
    deliver = killed.mirror.deliver

    def deliver_then_die(records):
        deliver(records)
        if records:
            raise KeyboardInterrupt

    monkeypatch.setattr(killed.mirror, "deliver", deliver_then_die)
    with pytest.raises(KeyboardInterrupt):
        killed.run()
    resumed = session(suite)
    assert resumed.run().trained == 2
    assert session(suite).run().trained == 0
    records = flat(resumed.store.all(suite.keys()))
    assert list(records.run_key) == suite.keys()
    undisturbed = [r for stack in suite.stacks() for r in run_stack(Task(stack), Settings(engine="stacked")).records]
    expected = pd.DataFrame([{"run_key": r.run_key, **r.metrics} for r in undisturbed]).set_index("run_key")
    same = [name for name in expected if not name.startswith("seconds")]
    pd.testing.assert_frame_equal(records.set_index("run_key")[same], expected[same], check_names=False, rtol=1e-6)


class Causal(Explainer):
    """Planted and perfect: the mask's share is the share of predictions that change with other corners.

    Of the inputs at hand: two networks whose flip rates are nearly the same may be ranked the other way round.
    """

    name: ClassVar[str] = "causal"

    def explain(self, network, inputs, target, baselines):
        corners = torch.zeros_like(inputs, dtype=torch.bool)
        corners[..., :4, :4] = corners[..., :4, -4:] = corners[..., -4:, :4] = corners[..., -4:, -4:] = True
        others = torch.where(corners, inputs.roll(1, 0), inputs)
        share = (network(others).argmax(-1) != target).float().mean()
        return torch.where(corners, share / 64, (1 - share) / (784 - 64))


class Fixed(Explainer):
    """Planted and useless: it looks at the input alone."""

    name: ClassVar[str] = "fixed"

    def explain(self, network, inputs, target, baselines):
        return inputs


@pytest.mark.slow
def test_a_planted_perfect_explainer_ranks_first_and_one_that_ignores_weights_is_named():
    """Over real networks, from training to the board."""
    sweeps = [
        suite_with(network={"name": "blinkered", "network": "mlp", **factors}, training={"epochs": 5, "batch_size": 32})
        for factors in (MASKS_ALONE, BLIND, {"rest": 0.1})
    ]
    planted = Causal(), Fixed(), explainers.resolve("random_attribution"), explainers.resolve("integrated_gradients")
    rows = [
        record
        for suite in sweeps
        for stack in suite.stacks()
        for record in run_stack(
            Task(replace(stack, seeds=(0, 1), explainers=planted)), Settings(engine="stacked")
        ).records
    ]
    board = rank_explainers(flat(rows)).set_index("explainer")
    assert board.loc["causal", ["rank_correlation", "auroc"]].tolist() == [1, 1]
    assert board["rank_correlation"].idxmax() == "causal"
    assert board.loc["random_attribution", ["auroc:low", "auroc", "auroc:high"]].tolist() == [0.5] * 3
    for name in ("random_attribution", "fixed"):
        assert board.loc[name, "note"] == "chance, same untrained"
        assert board.loc[name, "untrained"] == pytest.approx(1)
    assert board.loc["integrated_gradients", "note"] == ""


def test_the_suites_have_all_kinds_of_networks():
    every = load_suite("explainers")
    assert {explainer.name for explainer in every.explainers} == set(explainers.names())
    for suite, network in (
        (every, "blinkered[rest=0.05]"),
        (load_suite("explainers-mnist"), "mlp[pixel_range=native]"),
    ):
        kinds = {(stack.network.id, stack.mitigation.id) for stack in suite.stacks()}
        assert {(network, kind) for kind in ("erm", "rrr", "oracle_clean")} <= kinds
        factors = {
            (stack.network.masks, stack.network.rest) for stack in suite.stacks() if stack.network.name == "blinkered"
        }
        assert {(1, 0), (0, 1)} <= factors
        assert len(suite.seeds) >= 5
    assert tiny_suite().explainers == ()
