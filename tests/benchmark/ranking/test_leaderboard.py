import csv
from itertools import product

import numpy as np
import pandas as pd
import pytest
from rrrbench.benchmark.ranking.leaderboard import leaderboard, render, unranked
from rrrbench.benchmark.ranking.selection import RULES, UnknownRule
from rrrbench.benchmark.ranking.statistics import interval

SALIENCY = "mass_abs_over_chance/input_gradient"
METRICS = ["accuracy/validation", "accuracy/validation_swap", "accuracy/random", "flip_rate", SALIENCY, "seconds"]


def a_sweep(
    mitigation,
    strengths,
    dataset="decoy-digits",
    network="mlp",
    seeds=3,
    needs="",
    status="finished",
    luck=0,
    masks="true",
):
    """Metrics drawn at random; `seconds` are 2 for erm and 5 for the others."""
    rng = np.random.default_rng([luck, *map(ord, dataset + network + mitigation)])
    identity = {"dataset": dataset, "network": network, "mitigation": mitigation, "masks": masks}
    return pd.DataFrame(
        identity
        | {"strength": float(strength), "seed": seed, "run_key": f"{identity}{strength}{seed}", "status": status}
        | {"needs": needs, "error": ""}
        | dict(zip(METRICS, [*rng.uniform(size=5), 2.0 if mitigation == "erm" else 5.0], strict=True))
        for strength, seed in product(strengths, range(seeds))
    )


def records(**changes):
    sweeps = [a_sweep("erm", [0], **changes), a_sweep("rrr", [0, 1, 10, 1000], needs="masks", **changes)]
    return pd.concat([*sweeps, a_sweep("find_another_explanation", [0.1, 1 / 65025], **changes)], ignore_index=True)


def by_hand():
    rows = [
        #  mitigation  needs  strength  seed  validation  random  seconds
        ("erm", "", 0.0, 0, 0.95, 0.4, 1.0),
        ("erm", "", 0.0, 1, 0.95, 0.6, 3.0),
        ("rrr", "masks", 0.00015, 0, 0.99, 0.7, 4.0),
        ("rrr", "masks", 0.00015, 1, 0.99, 0.8, 6.0),
        ("rrr", "masks", 9.0, 0, 0.90, 0.9, 5.0),
        ("rrr", "masks", 9.0, 1, 0.90, 0.8, 5.0),
    ]
    columns = ["mitigation", "needs", "strength", "seed", "accuracy/validation", "accuracy/random", "seconds"]
    return pd.DataFrame(rows, columns=columns).assign(
        dataset="d", network="n", masks="true", run_key="", status="finished", error=""
    )


def test_two_sweeps_worked_by_hand():
    board = leaderboard(by_hand(), "val_iid")
    assert board.mitigation.tolist() == ["rrr", "erm"]
    assert board.strength.tolist() == [0.00015, 0]
    rrr, erm = board.to_dict("records")
    assert rrr["accuracy/random"] == pytest.approx(0.75)
    assert (rrr["accuracy/random:low"], rrr["accuracy/random:high"]) == pytest.approx((0.7, 0.8))
    assert rrr["regret"] == pytest.approx(0.1)  # the oracle takes 9: by seed 0.9 - 0.7 and 0.8 - 0.8
    assert (rrr["regret:low"], rrr["regret:high"]) == pytest.approx((0, 0.2))
    assert rrr["seconds_over_erm"] == pytest.approx(2.5)  # (4 + 6) / 2 over (1 + 3) / 2
    assert (erm["regret"], erm["seconds_over_erm"]) == (0, 1)


TABLE = """\
d

mitigation    needs      strength    seeds       accuracy/random                regret    cost
------------  -------  ----------  -------  --------------------  --------------------  ------
rrr           masks       0.00015        2  0.750 [0.700, 0.800]  0.100 [0.000, 0.200]     2.5
erm                             0        2  0.500 [0.400, 0.600]  0.000 [0.000, 0.000]     1.0

cells: mean [95 % bootstrap interval over 2 seeds]
rule val_iid: the best accuracy on biased validation data
regret: headline accuracy lost to the oracle's choice, which is a bound, never a result
cost: mean seconds of a run over erm's; a wide stack shares its work
"""


def test_the_table_of_these_two_sweeps():
    assert render(leaderboard(by_hand(), "val_iid")) == TABLE


def test_every_metric_has_the_mean_and_interval_of_the_selected_runs():
    board = leaderboard(records(), "knee").set_index("mitigation")
    runs = records().query("mitigation == 'rrr' and strength == @board.strength['rrr']")
    for metric in METRICS:
        expected = interval(runs[metric].to_numpy())
        assert board.loc["rrr", [metric, f"{metric}:low", f"{metric}:high"]].tolist() == pytest.approx(expected)


def test_csv_has_exactly_the_promised_columns_in_full_precision():
    board = leaderboard(records(), "val_iid")
    ids = [*METRICS, "seconds_over_erm", "regret"]
    header = ["dataset", "network", "mitigation", "masks", "rule", "strength", "seeds", "needs", "note"]
    titles, *rows = csv.reader(render(board, "csv").splitlines())
    assert titles == [*header, *(f"{metric}{end}" for metric in ids for end in ("", ":low", ":high"))]
    assert len(rows) == len(board) == 3
    for row, values in zip(rows, board.itertuples(index=False), strict=True):
        assert [type(value)(cell) for cell, value in zip(row, values, strict=True)] == list(values)


@pytest.mark.parametrize("luck", range(5))
def test_regret_is_zero_for_the_oracle_and_never_negative(luck):
    for rule in RULES:
        regret = leaderboard(records(luck=luck), rule).regret
        assert (regret == 0).all() if rule == "oracle" else (regret >= 0).all()


def test_regret_is_nan_without_a_shifted_environment():
    board = leaderboard(records().drop(columns="accuracy/random"), "knee")
    assert len(board) == 3
    assert board.regret.isna().all()
    assert "regret" not in render(board)


def test_shuffled_records_give_the_same_leaderboard_to_the_last_bit():
    runs = records(seeds=5)
    for seed, rule in enumerate(RULES):
        shuffled = leaderboard(runs.sample(frac=1, random_state=seed), rule)
        pd.testing.assert_frame_equal(shuffled, leaderboard(runs, rule), check_exact=True)


def test_rows_are_ranked_by_the_headline_within_dataset_and_network():
    runs = pd.concat([records(dataset=d, network=n) for d, n in product("ab", ("lenet", "mlp"))])
    board = leaderboard(runs, "val_iid")
    settings = board[["dataset", "network"]].apply(tuple, axis=1)
    assert settings.is_monotonic_increasing
    assert board.groupby(settings)["accuracy/random"].apply(lambda best: best.is_monotonic_decreasing).all()


def test_cost_is_over_the_erm_of_the_same_dataset_and_network():
    slow = records(dataset="slow").assign(seconds=lambda runs: runs.seconds * 10)
    lacking = a_sweep("rrr", [1], dataset="lacking")
    board = leaderboard(pd.concat([records(), slow, lacking]), "val_iid").query("mitigation == 'rrr'")
    cost = board.set_index("dataset").seconds_over_erm
    assert (cost["decoy-digits"], cost["slow"]) == (2.5, 2.5)
    assert np.isnan(cost["lacking"])


def test_cost_is_absent_where_no_erm_was_run():
    board = leaderboard(a_sweep("rrr", [1]), "val_iid")
    assert not any("over_erm" in column for column in board)


def test_a_sweep_without_an_eligible_strength_is_unranked_with_its_reason():
    inert = a_sweep("rrr[target=prob_sum]", [1], seeds=5, status="inert")
    runs = pd.concat([records(), inert])
    assert unranked(runs).to_dict("records") == [
        {
            **{"dataset": "decoy-digits", "network": "mlp", "mitigation": inert.mitigation[0]},
            **{"masks": "true", "reason": "5 inert runs"},
        }
    ]
    assert inert.mitigation[0] not in leaderboard(runs, "knee").mitigation.tolist()


def test_every_sweep_is_either_ranked_or_unranked():
    runs = pd.concat([records(), records(dataset="old").drop(columns="accuracy/validation_swap")])
    missing = unranked(runs, "val_swap")
    assert set(missing.dataset) == {"old"}
    assert set(leaderboard(runs, "val_swap").dataset) == {"decoy-digits"}
    assert missing.reason.str.contains("accuracy/validation_swap").all()
    assert unranked(runs, "val_iid").empty


def test_no_records_give_an_empty_leaderboard_that_renders():
    board = leaderboard(records()[:0], "knee")
    assert render(board) == "no sweep has an eligible strength\n"
    assert render(board, "csv").startswith("dataset,network,mitigation,masks,rule,strength,seeds,needs,")
    with pytest.raises(UnknownRule):
        leaderboard(records()[:0], "nee")


def test_the_table_is_under_150_columns_wide_and_wraps_long_names():
    networks = ("mlp[sizes=(512,256,128)]", "resnet18")
    runs = pd.concat([records(network=network) for network in networks])
    text = render(leaderboard(runs.replace({"needs": {"masks": "groups+masks"}}), "knee"))
    assert max(map(len, text.splitlines())) < 150
    assert "find_another_explanation" not in text
    assert "find_another_explanation" in render(leaderboard(records(), "knee"))


def test_the_table_has_a_block_for_each_dataset():
    blocks = render(leaderboard(pd.concat([records(dataset="toy-colors"), records()]), "knee")).split("\n\n")
    assert len(blocks) == 5
    assert (blocks[0], blocks[2]) == ("decoy-digits", "toy-colors")
    for table in (blocks[1], blocks[3]):
        *_, ruler, erm, find_another_explanation, rrr = table.splitlines()
        assert len(ruler) == len(erm) == len(find_another_explanation) == len(rrr)


def test_the_table_has_a_network_column_only_for_several():
    one, two = records(), pd.concat([records(), records(network="lenet")])
    assert render(leaderboard(one, "knee")).splitlines()[2].split()[:2] == ["mitigation", "needs"]
    assert render(leaderboard(two, "knee")).splitlines()[2].split()[:2] == ["network", "mitigation"]


def test_cells_show_the_mean_and_interval_and_the_caption_says_of_what():
    runs = records(seeds=4)
    runs.loc[runs.mitigation == "rrr", "accuracy/random"] = np.tile([0.9, 0.92, 0.94, 0.96], 4)
    text = render(leaderboard(runs, "knee"))
    # Of 256 means a tail is 6.4; 1 resample has sum 3.6, 4 have 3.62 and 10 have 3.64: 3.64 / 4, and its mirror image.
    assert "0.930 [0.910, 0.950]" in text
    assert "cells: mean [95 % bootstrap interval over 4 seeds]" in text
    assert f"rule knee: {RULES['knee'].meaning}" in text


def test_the_oracle_is_shown_as_a_bound():
    assert (
        "a bound, never a result" in render(leaderboard(records(), "oracle")).split("rule oracle:")[1].splitlines()[0]
    )


def test_one_seed_shows_no_interval():
    text = render(leaderboard(records(seeds=1), "val_iid"))
    table = text.split("\n\n")[1]
    assert "nan" not in text
    assert "[" not in table


def test_markdown_is_a_github_table_with_numbers_to_the_right():
    title, table, _ = render(leaderboard(records(), "knee"), "md").split("\n\n")
    header, ruler, *rows = table.splitlines()
    assert title == "### decoy-digits"
    assert len(rows) == 3
    assert "mask saliency over chance" in header
    assert [cell.strip().endswith(":") for cell in ruler.strip("|").split("|")] == [False] * 2 + [True] * 7


@pytest.mark.usefixtures("shapes_unchecked")
def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="no format is called 'html'; known: table, csv, md"):
        render(leaderboard(records(), "knee"), "html")


def test_a_rounded_zero_has_no_sign():
    board = leaderboard(records(), "knee").assign(**{"regret": -1e-17, "regret:low": -1e-17})
    assert "-0.000" not in render(board)


def with_controls(gain):
    """`rrr` by hand, and again with wrong masks, which lose `gain` of each seed's accuracy."""
    wrong = by_hand().query("mitigation == 'rrr'").assign(masks="wrong")
    accuracy = wrong["accuracy/random"] - np.where(wrong.seed == 0, gain, gain + 0.1)
    return pd.concat([by_hand(), wrong.assign(**{"accuracy/random": accuracy})], ignore_index=True)


def test_the_mask_effect_is_the_difference_by_seed_at_the_strength_of_the_true_masks():
    board = leaderboard(with_controls(0.2), "val_iid").set_index(["mitigation", "masks"])
    effect = board.loc[("rrr", "true"), ["mask_effect", "mask_effect:low", "mask_effect:high"]].tolist()
    assert effect == pytest.approx([0.25, 0.2, 0.3])
    assert board.loc[("rrr", "true"), "note"] == ""
    assert np.isnan(board.loc[("rrr", "wrong"), "mask_effect"])
    assert np.isnan(board.loc[("erm", "true"), "mask_effect"])
    assert board.loc[("rrr", "wrong"), "accuracy/random"] == pytest.approx(0.5)


@pytest.mark.parametrize("gain", [0.0, -0.05, -0.3])
def test_a_method_whose_mask_effect_reaches_0_is_marked(gain):
    board = leaderboard(with_controls(gain), "val_iid")
    assert board.query("mitigation == 'rrr' and masks == 'true'").note.tolist() == ["mask-independent"]
    assert "mask-independent" in render(board)


def test_no_mask_effect_where_a_seed_with_wrong_masks_did_not_finish():
    runs = with_controls(0.2)
    runs.loc[(runs.masks == "wrong") & (runs.seed == 1), "status"] = "diverged"
    board = leaderboard(runs, "val_iid").set_index(["mitigation", "masks"])
    assert np.isnan(board.loc[("rrr", "true"), "mask_effect"])
    assert board.loc[("rrr", "true"), "note"] == ""


def test_what_cannot_work_on_a_dataset_is_named_with_its_reason():
    runs = records()
    dfr = a_sweep("dfr", [0], status="inapplicable").assign(error="no minority group")
    board, left_out = leaderboard(pd.concat([runs, dfr]), "knee"), unranked(pd.concat([runs, dfr]), "knee")
    assert "dfr" not in board.mitigation.tolist()
    line = "not ranked: dfr on decoy-digits, mlp: 3 inapplicable runs, because no minority group"
    assert line in render(board, "table", left_out).splitlines()
    assert f"- {line}" in render(board, "md", left_out).splitlines()


def test_latex_has_a_booktabs_tabular_and_its_caption_as_comments():
    lines = render(leaderboard(by_hand(), "val_iid"), "tex").splitlines()
    assert lines[0] == "% d"
    assert r"\toprule" in lines
    assert any(line.split("&")[0].strip() == "rrr" and "0.750 [0.700, 0.800]" in line for line in lines)
    assert all(line.startswith("%") for line in lines[lines.index(r"\end{tabular}") + 2 :])
