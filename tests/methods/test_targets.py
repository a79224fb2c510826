from __future__ import annotations

from rrrbench.methods.mitigations.rrr import RRR
from rrrbench.methods.targets import DEGENERATE, TARGETS


def test_only_the_declared_targets_are_degenerate():
    assert {target for target in TARGETS if RRR(target=target).degenerate} == DEGENERATE
