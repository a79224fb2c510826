"""The first page: the suite on which its table opens, and the sweeps that it ranks together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pandas as pd
import pytest
from made_up_rows import made_up_recording
from rrrbench.benchmark.report.index import opening_suite
from rrrbench.benchmark.report.overall import overall
from rrrbench.benchmark.report.ranked_sweep import rank_sweeps
from tiny import tiny_suite

MORE = [{"mitigation": "erm"}, {"mitigation": "l2", "strengths": [0.1]}, {"mitigation": "rrr", "strengths": [0.1]}]


def of_protocol_1(recording, name):
    runs = recording.runs.assign(protocol="1.0", sweep_key="1" * 64)
    return replace(recording, name=name, runs=runs.assign(run_key=[f"{i:064}" for i in range(len(runs))]))


@pytest.fixture
def recordings():
    """Two mitigations, three of protocol 1.0, and three of this version's protocol on other data."""
    many = made_up_recording(
        tiny_suite("many", dataset={"name": "decoy", "base": "digits", "correlation": 0.9}, mitigations=MORE)
    )
    return [made_up_recording(tiny_suite("few")), of_protocol_1(many, "old"), many]


def over_all(recordings):
    with ThreadPoolExecutor(1) as beside:
        return overall(recordings, rank_sweeps(recordings, beside))


def test_the_table_opens_on_the_suite_with_the_most_mitigations_of_this_protocol(recordings):
    assert opening_suite(recordings) == "many"
    assert opening_suite(recordings[:2]) == "few"
    assert opening_suite(recordings[1:2]) == "old", "which has none, and is alone"


def test_sweeps_of_another_protocol_are_not_ranked_with_this_versions(recordings):
    both, new = over_all(recordings), over_all([recordings[0], recordings[2]])
    assert (both.left_out, new.left_out) == (1, 0)
    assert both.sides == new.sides
    assert len(both.sweeps) == 2
    assert not any("protocol 1.0" in name for name in both.sweeps)


def test_sweeps_that_repeat_a_paper_are_not_ranked_with_the_comparisons(recordings):
    """Their strengths and variants are the paper's: ten rows of RRR are no ten methods."""
    papers = replace(recordings[2], name="ross2017")
    found, alone = over_all([recordings[0], papers]), over_all([recordings[0]])
    assert (found.repeated, alone.repeated) == (1, 0)
    assert (found.sides, found.sweeps) == (alone.sides, alone.sweeps)


def test_a_method_that_is_told_the_object_stands_with_the_methods_that_have_masks():
    told = {"mitigation": {"name": "actdiff", "told": "outside core"}, "strengths": [0.1]}
    recording = made_up_recording(tiny_suite("told", mitigations=[{"mitigation": "erm"}, told]))
    (side,) = over_all([recording]).sides
    assert (side[0], [row["mitigation"] for row in side[2]]) == ("With masks", ["actdiff[told=outsidecore]"])


def test_sweeps_of_another_protocol_alone_are_not_ranked(recordings):
    old = over_all(recordings[1:2])
    assert (old.left_out, old.rows, old.ranks) == (1, False, None)


def test_a_file_of_both_protocols_counts_with_the_runs_of_this_versions(recordings):
    mixed = replace(recordings[1], runs=pd.concat([recordings[1].runs, recordings[0].runs]))
    assert opening_suite([mixed, recordings[2]]) == "many"
