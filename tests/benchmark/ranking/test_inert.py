"""Tables made of hostile names: LaTeX, Markdown, csv and pages show them, and run nothing."""

from __future__ import annotations

import io
import re
from csv import reader

import numpy as np
import pandas as pd
import pytest
from ranked_runs import a_sweep, records
from rrrbench.benchmark.ranking.inert import csv, markdown, one_line
from rrrbench.benchmark.ranking.leaderboard import rank_mitigations, unranked_mitigations
from rrrbench.benchmark.ranking.rendering import render_mitigations

LATEX = (
    *("d\n\\input{/etc/passwd}", "d\r\\write18{id}", "d\u2028\\input{x}", "d\x0b\\input{x}", "d\x85\\input{x}", "a%b"),
    *("\\end{tabular}\\input{x}", "$x$ & y \\\\ z", "a^^M\\input{x}", "~#{}_^", "d\n\n\\def\\x{}", "\\"),
)
FORMULAS = (
    *(
        '=HYPERLINK("http://x")',
        "+1+cmd|' /C calc'!A0",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(1+1)",
        "\t=1+1",
        "\r=1",
        "\n=1",
    ),
    *(" =1+1", "-x", "=", "\uff1d1+1", "|cmd", "+", "-1+2", "@"),
)
HARMLESS = ("rrr", "decoy-digits", "a=b", "a-b", "-1", "+0.5", "-1e-5", "1-2", "", "mlp[hidden=[8]]")


def named(name: str) -> pd.DataFrame:
    runs = records()
    odd = a_sweep("rrr", [0, 1], needs="masks").assign(mitigation=name, needs=name)
    return pd.concat([runs, odd, a_sweep("erm", [0], dataset=name), a_sweep("rrr", [1], dataset=name)])


def rendered(name: str, format: str, **changes) -> str:
    runs = named(name).assign(**changes)
    reasons = a_sweep("dfr", [0], dataset=name, status="inapplicable").assign(error=name, mitigation=name)
    runs = pd.concat([runs, reasons])
    return render_mitigations(rank_mitigations(runs, "knee"), format, unranked_mitigations(runs, "knee"))


@pytest.mark.parametrize("name", LATEX)
@pytest.mark.parametrize("changes", [{}, {"status": "failed", "error": "\\input{y}"}], ids=["ranked", "nothing ranked"])
def test_latex_runs_no_name(name, changes):
    text = rendered(name, "tex", **changes)
    live = [line for line in re.split("[\n\r\v\f\x85\u2028\u2029]", text) if line and not line.startswith("%")]
    commands = set(re.findall(r"\\[A-Za-z]+", "\n".join(live)))
    assert commands <= {"\\begin", "\\end", "\\toprule", "\\midrule", "\\bottomrule", "\\textbackslash", "\\ensuremath",
                        "\\textasciitilde", "\\textasciicircum", "\\hline"}  # fmt: skip
    begun, ended = text.count("\\begin{tabular}"), len(re.findall(r"(?m)^\\end\{tabular\}$", text))
    assert begun == ended
    for line in live:
        assert not re.search(r"(?<!\\)%", line), "a comment would swallow the end of the row"
        if not line.startswith("\\"):
            assert line.rstrip().endswith("\\\\")


@pytest.mark.parametrize("text", FORMULAS)
def test_a_csv_cell_that_a_spreadsheet_would_run_is_text(text):
    table = csv(pd.DataFrame({"name": [text, "rrr"], text: ["x", "y"], "number": [-0.5, np.nan], "whole": [-1, 2]}))
    header, first, second = reader(io.StringIO(table, newline=""))
    assert first[0] == header[1] == "'" + text.replace("\r", " ")
    assert first[2:] == ["-0.5", "-1"]
    assert second == ["rrr", "y", "", "2"]


@pytest.mark.parametrize("text", HARMLESS)
def test_other_cells_of_a_csv_are_as_they_were(text):
    table = pd.DataFrame({"name": [text], "number": [-1e-17]})
    assert csv(table) == table.to_csv(index=False)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_leaderboard_as_csv_has_no_formula(name):
    for row in reader(io.StringIO(rendered(name, "csv"), newline="")):
        for cell in row:
            assert re.fullmatch(r"-?[\d.e+-]*", cell) or not re.match(r"\s*[=+\-@|\uff1d]|[\t\r\n]", cell), cell


@pytest.mark.parametrize("name", ["a|b", "a\n\n# b", "<script>alert(1)</script>", "[x](javascript:alert(1))", "`a`",
                                  "a\n|---|", "<img src=x onerror=y>", "![x](http://x)"])  # fmt: skip
def test_markdown_shows_a_name_in_its_cell(name):
    text = rendered(name, "md")
    assert not re.search("<[a-z]", text)
    assert "](" not in text
    for table in re.findall(r"(?m)(?:^\|.*\n)+", text):
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(bars) == 1
    assert not any(line.startswith("# b") for line in text.splitlines())


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\x07", "a\nb", "a\u202eb", "a\x9b31m"])
def test_a_terminal_is_not_told_what_to_do(name):
    text = rendered(name, "table")
    assert not set(text) & set("\x1b\x07\x9b\u202e")


def test_plain_names_stay():
    assert one_line("mlp[hidden=[8], init=ross]") == "mlp[hidden=[8], init=ross]"
    assert markdown("accuracy [0.1, 0.2]") == "accuracy [0.1, 0.2]"
