"""The reference's pages, from the registries and the committed tables."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("latex2mathml", reason="`make docs` installs it")
from latex2mathml.exceptions import ExtraLeftOrMissingRightError
from rrrbench.methods.base import mitigations
from rrrbench.methods.explainers.base import explainers

ROOT = Path(__file__).parents[2]
ENTRIES = [registry[name] for registry in (mitigations, explainers) for name in registry.names()]


@pytest.fixture(scope="module")
def pages():
    """The module `docs/site/pages.py`, which MkDocs finds beside its hooks."""
    sys.path.insert(0, str(ROOT / "docs/site"))
    try:
        import pages
    finally:
        sys.path.remove(str(ROOT / "docs/site"))
    return pages


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
def test_every_loss_and_every_attribution_of_its_own_has_an_equation_that_converts(entry, pages):
    has_its_own = {"terms", "fit", "explain", "filling", "retrained"} & set(vars(entry))
    assert not has_its_own or "equation" in vars(entry)
    assert entry.equation
    math = ElementTree.fromstring(pages.math(entry.equation).replace("&nbsp;", " "))
    assert len(math.findall(".//{*}mtr")) > entry.equation.count(r"\\")
    shown = "".join(math.itertext())
    assert "\\" not in shown
    assert "&" not in shown


def test_an_equation_that_is_no_latex_is_refused(pages):
    with pytest.raises(ExtraLeftOrMissingRightError):
        pages.math(r"\left( \frac{1}{2")


@pytest.mark.long
def test_a_mitigations_page_has_its_laws_parameters_and_measured_row(pages):
    page = pages.Reference(ROOT).pages()["reference/mitigations/rrr.md"]
    assert "Ross et al. 2017" in page
    assert "- 1 an empty mask is ERM, bit for bit" in page
    assert "| `target`" in page
    (row,) = (line for line in page.splitlines() if "| decoy-digits " in line and "on 400 inputs" in line)
    assert "0.948 [0.919, 0.977]" in row  # results/leaderboard/controls-quick.csv
    assert "results/leaderboard/controls-quick.csv), protocol 2.0, network" in page


@pytest.mark.long
def test_a_page_for_every_entry_and_no_other(pages):
    written = pages.Reference(ROOT).pages()
    for kind, registry in pages.REGISTRIES.items():
        found = {Path(path).stem for path in written if path.startswith(f"reference/{kind}/")}
        assert found == {"README", *registry.names()}


def test_a_parameter_is_shown_with_bounds_and_default(pages):
    (row,) = (line for line in pages.parameters(mitigations["pgd_ex"]).splitlines() if "epsilon" in line)
    assert "> 0, ≤ 1" in row
    assert "`1.0`" in row
