"""A run key changes when a number may change, and never because a parameter was added.

`pinned.json` has the version and the defaults of every registered thing, and keys of whole runs. Where a test fails:

- a changed default, or a changed rule, is a new `version` of its class; then write the pins anew;
- a new thing, or a new field with a default, is written into the pins too;
- nothing else may change them. `PYTHONPATH=tests python tests/benchmark/suite/test_run_keys.py` writes them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from named_alone import named_alone
from pydantic_core import to_jsonable_python
from rrrbench.benchmark.networks import networks
from rrrbench.benchmark.suite.loading import parse_suite
from rrrbench.benchmark.suite.protocol import PROTOCOL_VERSION
from rrrbench.benchmark.suite.sweep import Suite
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.recipe import datasets
from rrrbench.methods.base import mitigations
from rrrbench.methods.explainers.base import explainers
from rrrbench.methods.mitigations.rrr import RRR

PINS = Path(__file__).with_name("pinned.json")
REGISTRIES = {"datasets": datasets, "networks": networks, "mitigations": mitigations, "explainers": explainers}
SWEEP = {
    "dataset": {"name": "decoy", "base": "digits"},
    "network": {"name": "mlp", "hidden": [8]},
    "training": {"epochs": 2},
}


def defaults(kind: type) -> dict[str, object]:
    fields = kind.model_fields.items()
    return {name: to_jsonable_python(field.get_default(call_default_factory=True)) for name, field in fields
            if not field.is_required()}  # fmt: skip


def suite(entries: list[dict], **changes) -> Suite:
    return parse_suite({"name": "pins", "seeds": [3], "sweeps": [{**SWEEP, **changes, "mitigations": entries}]}, "pins")


def things() -> Iterator[tuple[str, type]]:
    yield "training", Training
    for kind, registry in REGISTRIES.items():
        yield from ((f"{kind}/{name}", registry[name]) for name in registry.names())


def keys() -> Iterator[tuple[str, str]]:
    """The key of a run of each mitigation, dataset and network that can be named without parameters."""
    entries = [{"mitigation": name, **({"strengths": [0.1]} if mitigations[name].has_strength else {})}
               for name in mitigations.names()]  # fmt: skip
    stacks = suite(entries).stacks()
    yield from ((f"mitigations/{stack.mitigation.name}", next(iter(stack.places()))) for stack in stacks)
    erm = next(stack for stack in stacks if stack.mitigation.name == "erm")
    for name in named_alone(networks):
        yield f"networks/{name}", replace(erm, network=networks.resolve(name)).key(0, 3)
    for name in named_alone(datasets):
        yield f"datasets/{name}", replace(erm, dataset=datasets.resolve(name)).key(0, 3)


def pins() -> dict[str, object]:
    return {
        "protocol": PROTOCOL_VERSION,
        "things": {name: {"version": kind.version, "defaults": defaults(kind)} for name, kind in things()},
        "keys": dict(keys()),
    }


PINNED = json.loads(PINS.read_text()) if PINS.exists() else {"things": {}, "keys": {}}


@pytest.mark.parametrize(("name", "kind"), list(things()), ids=[name for name, _ in things()])
def test_a_default_changes_with_its_version_alone(name, kind):
    assert name in PINNED["things"], f"{name} is new: write its pin (see this file)"
    pinned, now = PINNED["things"][name], defaults(kind)
    assert kind.version == pinned["version"], f"{name} has a new version: write its pin anew (see this file)"
    changed = {field: (value, now.get(field, "gone")) for field, value in pinned["defaults"].items()
               if now.get(field, "gone") != value}  # fmt: skip
    assert not changed, f"{name}: these defaults changed, so its version must: {changed}"
    assert now.keys() == pinned["defaults"].keys(), f"{name} has a new field: write its pin anew (see this file)"


@pytest.mark.parametrize(("name", "key"), list(keys()), ids=[name for name, _ in keys()])
def test_a_run_key_is_what_it_was(name, key):
    assert PINNED["protocol"] == PROTOCOL_VERSION
    assert key == PINNED["keys"].get(name), f"the run key of {name} is another: is it a new version? (see this file)"


def test_a_field_that_is_added_with_a_default_changes_no_key_until_it_is_used():
    class Grown(RRR):
        name: ClassVar[str] = "rrr"
        added: float = 0.5

    (stack,) = suite([{"mitigation": "rrr", "strengths": [1.0]}]).stacks()

    def key(mitigation) -> str:
        return replace(stack, mitigation=mitigation).key(1.0, 0)

    assert key(RRR()) == key(Grown()) == key(Grown(added=0.5))
    assert key(Grown(added=0.25)) != key(RRR())


def test_a_new_version_is_a_new_key():
    class Changed(RRR):
        version: ClassVar[int] = RRR.version + 1

    assert Changed().identity() != RRR().identity()


def test_a_parameter_given_as_its_default_is_the_same_run():
    plain, stated = (
        suite([{"mitigation": "erm"}], training=training) for training in ({}, {"epochs": 50, "learning_rate": 1e-3})
    )
    assert plain.keys() == stated.keys()


def test_a_run_key_is_a_sha256():
    assert all(re.fullmatch("[0-9a-f]{64}", key) for _, key in keys())


if __name__ == "__main__":
    PINS.write_text(json.dumps(pins(), indent=1, sort_keys=True) + "\n")
