"""Finished runs of a suite whose own code or weights had another content than now."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from ...datasets.own_code import loaded
from ..store.records import RecordStore
from ..suite.stack import Stack

DIGESTS = ("weights_sha256", "source_sha256")


def of_earlier_files(store: RecordStore, stacks: Iterable[Stack], keys: Collection[str]) -> int:
    """Counts finished runs that differ from the suite's runs in the content of files alone.

    The store is read whole, and only for suites with files: of `--with`, of weights.
    """
    stacks, known = list(stacks), set(keys)
    if not loaded() and not any(any(map(_network(stack).get, DIGESTS)) for stack in stacks):
        return 0
    own = {_without_digests(stack.configuration(*place)) for stack in stacks for place in stack.places().values()}
    return sum(
        record.run_key not in known and _without_digests(record.configuration) in own for record in store.every()
    )


def _network(stack: Stack) -> dict[str, Any]:
    return stack.configuration(stack.strengths[0], stack.seeds[0])["network"]


def _without_digests(configuration: dict[str, Any]) -> str:
    network = {name: value for name, value in configuration["network"].items() if name not in DIGESTS}
    return json.dumps({**configuration, "network": network}, sort_keys=True)
