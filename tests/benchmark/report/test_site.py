"""The folder of pages: a page a sweep and a run; trainings and protocols are told apart."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from made_up_rows import made_up_recording
from rrrbench.benchmark.report.index import committed_tables
from rrrbench.benchmark.report.recorded import Recorded, recorded
from rrrbench.benchmark.report.site import write_site
from rrrbench.benchmark.store.records import picture_name
from rrrbench.benchmark.suite.loading import load_suite
from tiny import tiny_suite

ROOT = Path(__file__).parents[3]
RECORDS = ROOT / "results/records/mitigations-quick.parquet"


def test_a_suite_without_the_metrics_that_pages_draw_is_refused(tmp_path):
    explained = Recorded("own", "", pd.DataFrame({"mitigation": ["dummy"], "success": [0.5]}))
    with pytest.raises(ValueError, match=r"suite 'own' has no pages: [^`]*$"):
        write_site([explained], tmp_path / "site", tmp_path)
    with pytest.raises(ValueError, match=r"suite 'own' has no pages: .* `rrrbench leaderboard 'my own.toml'`"):
        write_site([replace(explained, named="my own.toml")], tmp_path / "site", tmp_path)
    assert not (tmp_path / "site").exists()


@pytest.mark.slow
def test_a_run_of_two_suites_has_one_page_which_the_first_of_them_writes(tmp_path):
    whole = recorded(str(RECORDS))
    erm = whole.runs[whole.runs["mitigation"] == "erm"]
    write_site([replace(whole, name=name, runs=erm) for name in ("one", "other")], tmp_path, tmp_path / "no results")
    pages = [page.read_text() for page in (tmp_path / "runs").iterdir()]
    assert len(pages) == erm["run_key"].nunique()
    assert all("sweeps/one-" in page and "sweeps/other-" not in page for page in pages)


def one_suite(out, results, *mitigations):
    whole = recorded(str(RECORDS))
    few = replace(whole, runs=whole.runs[whole.runs["mitigation"].isin(mitigations)])
    write_site([few], out, results)


@pytest.mark.slow
def test_reproductions_have_a_page_a_cell_with_its_command(tmp_path):
    one_suite(tmp_path, ROOT / "results", "erm")
    page = (tmp_path / "reproduced.html").read_text()
    assert '<td class="good" data-value="0">reproduced</td>' in page
    linked = set(re.findall(r'href="(cells/[^"]*)"', page))
    written = {f"cells/{path.name}" for path in (tmp_path / "cells").iterdir()}
    assert linked == written
    cell = (tmp_path / "cells/ross2017-decoy-mnist_60k-erm.html").read_text()
    assert "rrrbench reproduce ross2017 --only decoy-mnist_60k/erm</pre>" in cell
    assert 'href="https://github.com/dtak/rrr/blob/HEAD/experiments/Decoy%20MNIST.ipynb"' in cell
    assert "0.9964" not in cell, "numbers are rounded"


@pytest.mark.slow
def test_recalled_numbers_are_grey(tmp_path):
    one_suite(tmp_path, ROOT / "results", "erm")
    rows = re.findall(r"<tr([^>]*)>.*?</tr>", (tmp_path / "reproduced.html").read_text(), re.DOTALL)
    recalled = [row for row in rows if 'data-verdict="recalled"' in row]
    assert recalled
    assert all('class="absent"' in row for row in recalled)
    assert not any('class="absent"' in row for row in rows if 'data-verdict="reproduced"' in row)


@pytest.mark.long
def test_the_first_page_opens_on_what_works_with_masks_and_without(tmp_path):
    one_suite(tmp_path, tmp_path / "no results", "erm", "rrr", "l2", "oracle_clean")
    page = (tmp_path / "index.html").read_text()
    opening = page[: page.index('<h2 id="table">')]
    with_masks, without = opening.split("<h3>")[1:]
    assert ">rrr</a>" in with_masks
    assert re.findall(r'<th scope="col"[^>]*>([^<]*)', with_masks)[:2] == ["mitigation", "beats"]
    assert re.findall(r'<td class="number">([^<]*)', with_masks)[0].endswith("%")
    assert "over 2 sweeps of protocol 2.0." in opening
    assert "2 of 2" in with_masks
    assert ">l2</a>" in without
    assert "oracle_clean" not in opening
    assert not (tmp_path / "reproduced.html").exists()


def rows_of(out):
    """The attributes of the rows of the first page's table."""
    page = (out / "index.html").read_text()
    return [dict(re.findall(r'data-(\w+)="([^"]*)"', row)) for row in re.findall(r"<tr (data-suite=[^>]*)>", page)]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reproduce/friedrich2023", "reproduce/ghitu2025"])
def test_every_training_of_a_dataset_and_network_has_a_page_and_rows(name, tmp_path):
    suite = load_suite(name).with_seeds(1)
    write_site([made_up_recording(suite)], tmp_path, tmp_path / "no results")
    keys = {stack.sweep_key for stack in suite.stacks()}
    pages = sorted((tmp_path / "sweeps").iterdir())
    assert {page.stem.rsplit("-", 1)[1] for page in pages} == {key[:8] for key in keys}
    rows = {(row["dataset"], row["network"], row["difference"]) for row in rows_of(tmp_path)}
    assert len(rows) == len(keys)
    for page in pages:
        runs = set(re.findall(r"runs/\w+\.html", page.read_text()))
        assert runs
        for run in runs:
            assert page.name in (tmp_path / run).read_text(), "a point opens a run of its own sweep"


@pytest.mark.slow
def test_two_protocols_in_one_set_of_pages_are_told_apart(tmp_path):
    new = made_up_recording(tiny_suite())
    runs = new.runs
    old = runs.assign(protocol="1.0", sweep_key="1" * 64, run_key=["1" + key[1:] + "1" for key in runs["run_key"]])
    old["run_key"] = [f"{i:064}" for i in range(len(old))]
    write_site([new, replace(new, name="old", runs=old)], tmp_path, tmp_path / "no results")
    index = (tmp_path / "index.html").read_text()
    assert "<footer>protocols 1.0 and 2.0</footer>" in index
    assert "rows of two protocols are not comparable" in index
    assert {(row["suite"], row["protocol"], row["difference"]) for row in rows_of(tmp_path)} == {
        ("old", "1.0", "protocol 1.0"),
        (new.name, "2.0", "protocol 2.0"),
    }
    (page,) = (tmp_path / "sweeps").glob("old-*")
    assert "protocol 1.0" in page.read_text()


@pytest.mark.long
def test_the_table_opens_on_one_suite_and_its_data(tmp_path):
    old = made_up_recording(tiny_suite("old"))
    old = replace(old, runs=old.runs.assign(protocol="1.0", sweep_key="1" * 64))
    other = {"name": "decoy", "base": "digits", "correlation": 0.9}
    write_site([old, made_up_recording(tiny_suite("new", dataset=other))], tmp_path, tmp_path / "no results")
    index = (tmp_path / "index.html").read_text()
    assert re.findall(r'<option value="([^"]*)" selected', index) == [
        "new",
        "decoy-digits[correlation=0.9]",
        "true",
        "knee",
    ]
    assert "over 1 sweep of protocol 2.0; 1 of other protocols is left out" in index


@pytest.mark.long
def test_the_command_that_repeats_a_run_is_of_its_protocol(tmp_path):
    new = made_up_recording(tiny_suite())
    one = new.runs.head(1)
    old = one.assign(protocol="1.0", sweep_key="1" * 64, run_key="1" * 64)
    write_site([replace(new, runs=pd.concat([one, old]))], tmp_path, tmp_path / "no results")
    now, then = ((tmp_path / f"runs/{key[:16]}.html").read_text() for key in (one["run_key"].iat[0], "1" * 64))
    assert "RRRBENCH_HOME=again rrrbench run run.toml" in now
    assert "version 0.1" not in now
    assert "version 0.1 makes it" in then
    assert "MLFLOW_TRACKING_URI=sqlite:///again.db rrrbench run run.toml" in then


@pytest.mark.long
def test_pages_say_under_which_protocol_all_rows_are(tmp_path):
    write_site([made_up_recording(tiny_suite())], tmp_path, tmp_path / "no results")
    index = (tmp_path / "index.html").read_text()
    assert "<footer>protocol 2.0</footer>" in index
    assert "not comparable" not in index
    assert {row["difference"] for row in rows_of(tmp_path)} == {""}


@pytest.mark.long
def test_pictures_are_copied_from_the_folder_and_shown(tmp_path):
    made_up = made_up_recording(tiny_suite())
    run = made_up.runs[made_up.runs["mitigation"] == "rrr"].iloc[0]
    folder = tmp_path / "pictures" / run["sweep_key"]
    folder.mkdir(parents=True)
    (folder / picture_name("rrr", "true")).write_bytes(b"png")
    out = tmp_path / "site"
    write_site([replace(made_up, pictures=tmp_path / "pictures")], out, tmp_path / "no results")
    assert (out / "pictures" / run["sweep_key"] / "rrr.png").read_bytes() == b"png"
    assert f"pictures/{run['sweep_key']}/rrr.png" in (out / f"runs/{run['run_key'][:16]}.html").read_text()


@pytest.mark.long
def test_a_page_without_a_picture_says_why_and_which_command_makes_it(tmp_path):
    made_up = made_up_recording(tiny_suite())
    erm, rrr = (made_up.runs[made_up.runs["mitigation"] == name] for name in ("erm", "rrr"))
    trained, hindered, old = (rrr.iloc[[i]] for i in range(3))
    digest = tiny_suite().sweeps[0].dataset.make(int(hindered["seed"].iat[0])).digest()
    hindered = hindered.assign(status="inapplicable", error="it cannot", dataset_digest=digest, flips="[]")
    old = pd.concat([old, erm.head(1)]).assign(protocol="1.0", sweep_key="1" * 64)
    runs = pd.concat([trained, hindered, old])
    write_site([replace(made_up, runs=runs)], tmp_path, tmp_path / "no results")
    pages = [(tmp_path / f"runs/{key[:16]}.html").read_text() for key in runs["run_key"]]
    looks = [page[page.index("<h2>Where it looks") : page.index("<h2>Twins")] for page in pages]
    assert "No picture lies beside these records; <code>RRRBENCH_HOME=again rrrbench run run.toml</code>" in looks[0]
    assert "inapplicable here, so no network was trained" in looks[1]
    assert "<code>" not in looks[1], "no command makes a picture of a network that cannot be trained"
    assert "<p>No network was trained" in pages[1], "of the twins, which are shown all the same"
    assert "<code>MLFLOW_TRACKING_URI=sqlite:///again.db rrrbench run run.toml</code>" in looks[2]
    assert "No picture: version 0.1 drew none of a mitigation without a strength." in looks[3]


def test_tables_beside_the_leaderboard_are_rounded_with_intervals_in_their_cells(tmp_path):
    (tmp_path / "leaderboard").mkdir()
    text = (
        "explainer,seeds,auroc,auroc:low,auroc:high,p\nlime,5,0.99512345,0.98,0.9991649232838621,1.5e-07\nlrp,5,,,,\n"
    )
    (tmp_path / "leaderboard/explainers.csv").write_text(text)
    ((name, header, rows),) = committed_tables(tmp_path)
    assert name == "leaderboard/explainers.csv"
    assert header == ["explainer", "seeds", "auroc", "p"]
    assert rows == [["lime", "5", "0.995 [0.98, 0.999]", "1.5e-07"], ["lrp", "5", "", ""]]
