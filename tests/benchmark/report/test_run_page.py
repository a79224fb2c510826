"""The page of a run: the suite that repeats it, and which version of rrrbench makes it."""

from __future__ import annotations

import tomllib
from dataclasses import replace

import pytest
from made_up_rows import SHARES, made_up_recording
from rrrbench.benchmark import suites
from rrrbench.benchmark.report.ranked_sweep import run_page
from rrrbench.benchmark.report.run_page import suite_file
from rrrbench.benchmark.report.site import write_site
from rrrbench.benchmark.suite.loading import load_suite, parse_suite
from tiny import tiny_suite


@pytest.mark.parametrize("name", [name for name in suites.names() if load_suite(name).sweeps])
def test_the_suite_of_one_run_has_its_key(name):
    suite = load_suite(name)
    for stack in suite.stacks()[::7]:
        strength, seed = stack.strengths[-1], stack.seeds[0]
        text = suite_file(stack.configuration(strength, seed), stack.mitigation.has_strength)
        again = parse_suite({"name": "again", **tomllib.loads(text)}, "again")
        assert again.keys() == [stack.key(strength, seed)]


@pytest.mark.long
def test_the_page_of_a_run_that_was_not_trained_says_so(tmp_path):
    whole = made_up_recording(tiny_suite())
    rrr = whole.runs["mitigation"] == "rrr"
    runs = whole.runs.assign(status=whole.runs["status"].mask(rrr, "inapplicable"))
    runs.loc[rrr, [*SHARES]] = float("nan")
    runs.loc[rrr, "error"] = "no minority group"
    write_site([replace(whole, runs=runs)], tmp_path, tmp_path / "no results")
    for mitigation, untrained in (("rrr", True), ("erm", False)):
        key = runs[runs["mitigation"] == mitigation]["run_key"].iloc[0]
        page = (tmp_path / run_page(key)).read_text()
        assert ("<strong>Nothing was trained:</strong>" in page) is untrained
        assert ("No picture lies beside these records" in page) is not untrained
        assert ("says again why it cannot be trained" in page) is untrained
