"""The page of a run: the suite that repeats it, and which version of rrrbench makes it."""

from __future__ import annotations

import tomllib

import pytest
from rrrbench.benchmark import suites
from rrrbench.benchmark.report.run_page import suite_file
from rrrbench.benchmark.suite.loading import load_suite, parse_suite


@pytest.mark.parametrize("name", [name for name in suites.names() if load_suite(name).sweeps])
def test_the_suite_of_one_run_has_its_key(name):
    suite = load_suite(name)
    for stack in suite.stacks()[::7]:
        strength, seed = stack.strengths[-1], stack.seeds[0]
        text = suite_file(stack.configuration(strength, seed), stack.mitigation.has_strength)
        again = parse_suite({"name": "again", **tomllib.loads(text)}, "again")
        assert again.keys() == [stack.key(strength, seed)]
