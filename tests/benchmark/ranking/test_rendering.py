"""A ranking as text: its blocks, columns, caption, and the names of sweeps."""

from __future__ import annotations

import csv
import re

import numpy as np
import pandas as pd
import pytest
from ranked_runs import METRICS, a_sweep, by_hand, records, with_controls
from rrrbench.benchmark.ranking.leaderboard import rank_mitigations, unranked_mitigations
from rrrbench.benchmark.ranking.rendering import render_mitigations, wrapped
from rrrbench.benchmark.ranking.selection import RULES, UnknownRule

TABLE = """\
d, n

mitigation    needs      strength    seeds       accuracy/random                 regret    cost
------------  -------  ----------  -------  --------------------  ---------------------  ------
rrr           masks       0.00015        2  0.750 [0.115, 1.000]  0.100 [-1.000, 1.000]     2.5
erm                             0        2  0.500 [0.000, 1.000]   0.000 [0.000, 0.000]     1.0

cells: mean [95 % t interval over 2 seeds]
protocol 2.0
rule val_iid: the best accuracy on biased validation data
regret: headline accuracy lost to the oracle's choice, which is a bound, never a result
cost: mean seconds of a run over erm's; a wide stack shares its work
accuracy against erm's on d, n (paired t test by seed, 5 %, Holm over 1): higher: none; lower: none
"""


def test_the_table_of_these_two_sweeps():
    assert render_mitigations(rank_mitigations(by_hand(), "val_iid")) == TABLE


def test_csv_has_exactly_the_promised_columns_in_full_precision():
    board = rank_mitigations(records(), "val_iid")
    ids = [*METRICS, "seconds_over_erm", "regret", "gain"]
    header = [
        "dataset",
        "network",
        "training",
        "protocol",
        "mitigation",
        "masks",
        "rule",
        "strength",
        "seeds",
        "needs",
        "note",
    ]
    header += ["sweep_key"]
    titles, *rows = csv.reader(render_mitigations(board, "csv").splitlines())
    assert titles == [*header, *(f"{metric}{end}" for metric in ids for end in ("", ":low", ":high")), "gain_p"]
    assert len(rows) == len(board) == 3
    for row, values in zip(rows, board.itertuples(index=False), strict=True):
        read = [
            type(value)(cell or "nan") if isinstance(value, float) else type(value)(cell)
            for cell, value in zip(row, values, strict=True)
        ]
        np.testing.assert_equal(read, list(values))


def test_regret_is_nan_without_a_shifted_environment():
    board = rank_mitigations(records().drop(columns="accuracy/random"), "knee")
    assert len(board) == 3
    assert board.regret.isna().all()
    assert "regret" not in render_mitigations(board)


def test_no_records_give_an_empty_leaderboard_that_renders():
    board = rank_mitigations(records()[:0], "knee")
    assert render_mitigations(board) == "no sweep has an eligible strength\n"
    assert render_mitigations(board, "csv").startswith(
        "dataset,network,training,protocol,mitigation,masks,rule,strength,seeds,needs,"
    )
    with pytest.raises(UnknownRule):
        rank_mitigations(records()[:0], "nee")


def test_the_table_is_under_150_columns_wide_and_wraps_long_names():
    networks = ("mlp[sizes=(512,256,128)]", "resnet18")
    runs = pd.concat([records(network=network, seeds=10) for network in networks])
    text = render_mitigations(rank_mitigations(runs.replace({"needs": {"masks": "groups+masks"}}), "knee"))
    assert max(map(len, text.splitlines())) < 150
    assert "find_another_explanation" not in text
    assert "find_another_explanation" in render_mitigations(rank_mitigations(records(seeds=10), "knee"))


def test_the_table_has_a_block_for_each_dataset():
    runs = pd.concat([records(dataset=dataset, seeds=10) for dataset in ("toy-colors", "decoy-digits")])
    blocks = render_mitigations(rank_mitigations(runs, "knee")).split("\n\n")
    assert len(blocks) == 5
    assert (blocks[0], blocks[2]) == ("decoy-digits, mlp", "toy-colors, mlp")
    for table in (blocks[1], blocks[3]):
        *_, ruler, erm, find_another_explanation, rrr = table.splitlines()
        assert len(ruler) == len(erm) == len(find_another_explanation) == len(rrr)


def test_the_table_has_a_network_column_only_for_several():
    one, two = records(), pd.concat([records(), records(network="lenet")])
    assert render_mitigations(rank_mitigations(one, "knee")).splitlines()[2].split()[:2] == ["mitigation", "needs"]
    assert render_mitigations(rank_mitigations(two, "knee")).splitlines()[2].split()[:2] == ["network", "mitigation"]


def test_cells_show_the_mean_and_interval_and_the_caption_says_of_what():
    runs = records(seeds=4)
    runs.loc[runs.mitigation == "rrr", "accuracy/random"] = np.tile([0.9, 0.92, 0.94, 0.96], 4)
    text = render_mitigations(rank_mitigations(runs, "knee"))
    # Student's t with 3 degrees of freedom, 3.182, times the standard deviation, 0.0258, over √4
    assert "0.930 [0.889, 0.971]" in text
    assert "cells: mean [95 % t interval over 4 seeds]" in text
    assert f"rule knee: {RULES['knee'].meaning}" in text


def test_the_oracle_is_shown_as_a_bound():
    assert (
        "a bound, never a result"
        in render_mitigations(rank_mitigations(records(), "oracle")).split("rule oracle:")[1].splitlines()[0]
    )


def test_one_seed_shows_no_interval():
    text = render_mitigations(rank_mitigations(records(seeds=1), "val_iid"))
    table = text.split("\n\n")[1]
    assert "nan" not in text
    assert "[" not in table


def test_markdown_is_a_github_table_with_numbers_to_the_right():
    title, table, _ = render_mitigations(rank_mitigations(records(), "knee"), "md").split("\n\n")
    header, ruler, *rows = table.splitlines()
    assert title == "### decoy-digits, mlp"
    assert len(rows) == 3
    assert "mask saliency over chance" in header
    assert [cell.strip().endswith(":") for cell in ruler.strip("|").split("|")] == [False] * 2 + [True] * 7


@pytest.mark.usefixtures("shapes_unchecked")
def test_an_unknown_format_is_refused():
    with pytest.raises(ValueError, match="no format is called 'html'; known: table, csv, json, md"):
        render_mitigations(rank_mitigations(records(), "knee"), "html")


def test_a_rounded_zero_has_no_sign():
    board = rank_mitigations(records(), "knee").assign(**{"regret": -1e-17, "regret:low": -1e-17})
    assert "-0.000" not in render_mitigations(board)


@pytest.mark.parametrize("gain", [0.0, -0.05, -0.3])
def test_a_method_whose_mask_effect_reaches_0_is_marked(gain):
    board = rank_mitigations(with_controls(gain), "val_iid")
    assert board.query("mitigation == 'rrr' and masks == 'true'").note.tolist() == ["mask-independent"]
    assert "mask-independent" in render_mitigations(board)


def test_what_cannot_work_on_a_dataset_is_named_with_its_reason():
    runs = records()
    dfr = a_sweep("dfr", [0], status="inapplicable").assign(error="no minority group")
    board, left_out = (
        rank_mitigations(pd.concat([runs, dfr]), "knee"),
        unranked_mitigations(pd.concat([runs, dfr]), "knee"),
    )
    assert "dfr" not in board.mitigation.tolist()
    line = "not ranked: dfr on decoy-digits, mlp: 3 inapplicable runs, because no minority group"
    assert line in render_mitigations(board, "table", left_out).splitlines()
    assert f"- {line}" in render_mitigations(board, "md", left_out).splitlines()


def test_latex_has_a_booktabs_tabular_and_its_caption_as_comments():
    lines = render_mitigations(rank_mitigations(by_hand(), "val_iid"), "tex").splitlines()
    assert lines[0] == "% d, n"
    assert r"\toprule" in lines
    assert any(line.split("&")[0].strip() == "rrr" and "0.750 [0.115, 1.000]" in line for line in lines)
    assert all(line.startswith("%") for line in lines[lines.index(r"\end{tabular}") + 2 :])


def test_two_trainings_of_a_dataset_and_network_say_in_which_setting_they_differ():
    runs = pd.concat([records(), records(training="batch_size=64,epochs=2")])
    dfr = a_sweep("dfr", [0], status="inapplicable", training="batch_size=64,epochs=2").assign(
        error="no minority group"
    )
    runs = pd.concat([runs, dfr])
    text = render_mitigations(rank_mitigations(runs, "knee"), "md", unranked_mitigations(runs, "knee"))
    header, _, *rows = text.split("\n\n")[1].splitlines()
    assert header.split("|")[1].strip() == "difference"
    assert [row.split("|")[1].strip() for row in rows] == ["epochs=2, batch_size=64"] * 3 + [
        "epochs=50, batch_size=256"
    ] * 3
    assert "not ranked: dfr on decoy-digits, mlp, epochs=2, batch_size=64: 3 inapplicable runs" in text


def test_no_word_is_broken():
    networks = ("mlp[sizes=(512,256,128)]", "lenet[model=mobilenet_v3_small,weights=untrained@0123abcd]")
    runs = pd.concat([records(network=network, seeds=10) for network in networks]).replace({"masks": "groups+masks"})
    text = render_mitigations(rank_mitigations(runs, "knee"))
    assert max(map(len, text.splitlines())) < 150
    words = set(re.findall(r"\w+", text.replace("_", " ")))
    assert {"explanation", "another", "mobilenet", "lenet", "weights", "untrained", "0123abcd"} <= words


def test_text_is_wrapped_at_blanks_and_punctuation():
    assert wrapped("not to be trusted, untrained", 9).split("\n") == ["not to be", "trusted,", "untrained"]
    assert wrapped("untrained", 8) == "untrained"
    assert wrapped("find_another_explanation", 13).split("\n") == ["find_another_", "explanation"]
    assert wrapped("", 8) == ""


def test_a_network_that_was_trained_elsewhere_has_no_strength():
    theirs = a_sweep("trained elsewhere", [0], network="theirs", status="evaluated")
    rows = render_mitigations(rank_mitigations(pd.concat([records(), theirs]), "val_iid")).splitlines()
    (row,) = (row for row in rows if row.startswith("theirs"))
    assert row.split()[:4] == ["theirs", "trained", "-", "3"]  # `elsewhere` is in the line below
