"""The house: nothing on a lower floor imports from a higher floor, and no files import each other in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    *("datasets", "methods", "benchmark/figures benchmark/networks benchmark/suites", "benchmark/suite"),
    *("benchmark/engine", "benchmark/metrics", "benchmark/store", "benchmark/counterfactuals", "benchmark/running"),
    *("benchmark/ranking", "benchmark/report"),
    *("benchmark/api benchmark/conformance benchmark/judge benchmark/starting benchmark/speed", "benchmark/compat"),
    "benchmark/cli benchmark/face benchmark/everything",
)
"""From the ground up; wings of one floor do not import from each other."""
FLOOR_OF = {wing: floor for floor, wings in enumerate(FLOORS) for wing in wings.split()}
FILES = {
    f"rrrbench.{'.'.join(path.relative_to(ROOT).with_suffix('').parts)}".removesuffix(".__init__"): path
    for folder in ("datasets", "methods", "benchmark")
    for path in (ROOT / folder).rglob("*.py")
}


def wing_of(module: str) -> str:
    first, *rest = module.split(".")[1:]
    return f"benchmark/{rest[0]}" if first == "benchmark" else first


def imports_of(module: str) -> Iterator[tuple[str, bool]]:
    """The modules of ours that a module imports, anywhere in its code, and whether when it is itself imported."""
    path = FILES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text())
    at_once = set(tree.body)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
            base = ".".join(filter(None, (above, node.module))) if node.level else str(node.module)
            for alias in node.names:
                imported = f"{base}.{alias.name}" if f"{base}.{alias.name}" in FILES else base
                if imported in FILES:
                    yield imported, node in at_once


@pytest.mark.parametrize("module", [module for module in FILES if module.count(".") > 1])
def test_a_file_imports_from_lower_floors_alone(module):
    own = wing_of(module)
    for imported, _ in imports_of(module):
        wing = wing_of(imported)
        assert wing == own or FLOOR_OF[wing] < FLOOR_OF[own], f"{module} imports {imported}: {own} is not above {wing}"


def test_no_files_import_each_other_in_a_circle():
    """A package's `__init__` and its own files are one place: it gathers their names."""
    graph = {
        module: {imported for imported, _ in imports_of(module) if not module.startswith(f"{imported}.")}
        for module in FILES
        if FILES[module].name != "__init__.py"
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_the_floors_would_notice():
    assert ("rrrbench.datasets.base", True) in set(imports_of("rrrbench.datasets.masks"))
    assert FLOOR_OF["datasets"] < FLOOR_OF["benchmark/engine"] < FLOOR_OF["benchmark/store"] < FLOOR_OF["benchmark/cli"]
