"""The report in a real browser: Chromium, headless, from file://, without a network."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from rrrbench.benchmark.report.recorded import recorded
from rrrbench.benchmark.report.site import write_site

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parent.parent.parent
RECORDS = ROOT / "results/records/mitigations-quick.parquet"
SHOWN = ["erm", "rrr", "pgd_ex", "group_dro"]
WIDTHS = (400, 900, 1400)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The committed records of four mitigations on two datasets."""
    whole = recorded(str(RECORDS))
    few = replace(whole, runs=whole.runs[whole.runs["mitigation"].isin(SHOWN)])
    out = tmp_path_factory.mktemp("site")
    write_site([few], out, ROOT / "results")
    return out


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install 'rrrbench[browser]'")
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("neither chromium nor google-chrome is on this machine: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A page that fails the test if its console has an error, or if it asks for anything but a file."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900}, accept_downloads=True)
    page, wrong = context.new_page(), []
    page.set_default_timeout(120_000)
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "request", lambda asked: None if asked.url.startswith(("file:", "data:", "blob:")) else wrong.append(asked.url)
    )
    yield page
    context.close()
    assert not wrong


def shown(page, column):
    """The texts of a column's visible cells."""
    rows = page.locator("#board tbody tr:not([hidden])")
    return rows.evaluate_all("(rows, column) => rows.map((row) => row.cells[column].textContent)", column)


def heading(page, title):
    titles = page.locator("#board thead th").all_inner_texts()
    return next(i for i, text in enumerate(titles) if " ".join(text.split()) == title)


def test_the_table_opens_on_one_dataset_and_rule_best_first(page, site):
    page.goto((site / "index.html").as_uri())
    assert set(shown(page, heading(page, "rule"))) == {"knee"}
    assert len(set(shown(page, heading(page, "dataset")))) == 1
    means = [float(text.split()[0]) for text in shown(page, heading(page, "accuracy under shift"))]
    assert means == sorted(means, reverse=True)
    assert len(means) == 3  # group_dro has no minority to learn from there


def visible_columns(page):
    return [" ".join(text.split()) for text in page.locator("#board thead th:visible").all_inner_texts()]


def test_columns_without_a_number_in_the_shown_rows_are_hidden(page, site):
    page.goto((site / "index.html").as_uri())
    opened = visible_columns(page)
    for column in opened:
        assert set(shown(page, heading(page, column))) - {"", "-"}, column
    assert {"mitigation", "accuracy under shift", "flip_rate"} <= set(opened)
    assert "difference" not in opened, "there is one training"
    page.fill("input[name=search]", "erm")
    assert "liveness" not in visible_columns(page), "ERM has no right-reason term"
    page.fill("input[name=search]", "")
    assert visible_columns(page) == opened
    page.fill("input[name=search]", "no such mitigation")
    assert len(visible_columns(page)) == page.locator("#board thead th").count(), "an empty table has its head"


def test_a_click_on_a_heading_sorts_and_says_so(page, site):
    page.goto((site / "index.html").as_uri())
    column = heading(page, "flip_rate")
    head = page.locator("#board thead th").nth(column)
    for order, reverse in (("descending", True), ("ascending", False)):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        values = [float(text.split()[0]) for text in shown(page, column)]
        assert values == sorted(values, reverse=reverse)
    page.locator("#board thead th button").first.focus()
    page.keyboard.press("Enter")  # by the keyboard, as well
    assert shown(page, 0) == sorted(shown(page, 0))


def test_filters_leave_the_rows_they_name_and_the_address_keeps_them(page, site):
    page.goto((site / "index.html").as_uri())
    page.select_option("select[name=dataset]", "")
    page.select_option("select[name=needs]", "groups")
    assert shown(page, 0) == ["group_dro"]
    page.select_option("select[name=needs]", "")
    page.fill("input[name=search]", "RRR")
    page.select_option("select[name=rule]", "oracle")
    page.locator("#board thead th button").nth(1).click()
    kept = shown(page, 0), shown(page, heading(page, "rule"))
    assert kept == (["rrr", "rrr"], ["oracle", "oracle"])
    assert page.locator("#count").inner_text().startswith("2 of ")
    link = page.url
    other = page.context.new_page()
    other.goto(link)
    assert (shown(other, 0), shown(other, heading(other, "rule"))) == kept
    assert other.locator("#board thead th").nth(1).get_attribute("aria-sort") == "descending"


def test_the_csv_has_the_rows_that_are_shown(page, site, tmp_path):
    page.goto((site / "index.html").as_uri())
    page.fill("input[name=search]", "rrr")
    with page.expect_download() as download:
        page.click("#csv")
    download.value.save_as(tmp_path / "shown.csv")
    header, *rows = csv.reader((tmp_path / "shown.csv").read_text().splitlines())
    assert header[0] == "mitigation"
    assert [row[0] for row in rows] == ["rrr"]


def test_every_link_and_picture_leads_to_a_file(page, site):
    pages = sorted(site.rglob("*.html"))
    some = [site / "index.html", *sorted(site.glob("sweeps/*.html")), pages[0], *sorted(site.glob("runs/*.html"))[:3]]
    some += [site / "reproduced.html", *sorted(site.glob("cells/*.html"))[:3]]
    for path in some:
        page.goto(path.as_uri(), wait_until="commit")
        page.wait_for_load_state("domcontentloaded")
        links = page.eval_on_selector_all(
            "a[href], img[src], script[src], link[href]", "all => all.map((one) => one.href || one.src)"
        )
        for link in links:
            if link.startswith("file:"):
                parts = urlsplit(link)
                assert Path(unquote(parts.path)).is_file(), f"{path}: {link}"


def test_a_point_of_the_trade_off_opens_its_run(page, site):
    page.goto(next(site.glob("sweeps/*.html")).as_uri())
    page.wait_for_selector("html[data-drawn]")
    traces = page.evaluate("document.querySelector('.figure').data.map((trace) => trace.name)")
    times = Counter(traces)
    assert times.keys() >= {"erm", "rrr", "pgd_ex"}
    assert set(times.values()) in ({1}, {2}), "once, or once more in the inset of a corner"
    page.evaluate(
        "document.querySelector('.figure').emit('plotly_click',"
        " { points: [{ customdata: document.querySelector('.figure').data[0].customdata[0] }] })"
    )
    page.wait_for_url("**/runs/*.html")
    assert page.locator("h1").inner_text().split(",")[0] == traces[0]


def test_the_first_paint_needs_no_script_and_the_page_is_small(site):
    index = (site / "index.html").read_text()
    assert "plotly" not in index
    assert len(index) < 1_000_000
    assert (site / "static/plotly.min.js").stat().st_size < 5_000_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_overflows_at(page, site, width, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 900})
    some = [next(site.glob(f"{folder}/*.html")) for folder in ("sweeps", "runs", "cells")]
    for path in (site / "index.html", site / "reproduced.html", *some):
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path.name


def test_tables_have_headings_and_pictures_have_words(page, site):
    page.goto((site / "index.html").as_uri())
    assert page.locator("#board thead th:not([scope=col])").count() == 0
    assert page.locator("#board tbody tr > :first-child:not(th[scope=row])").count() == 0
    assert page.locator("img:not([alt]), img[alt='']").count() == 0
    assert page.locator("th[aria-sort]").count() == page.locator("#board thead th").count()


def test_reproductions_are_filtered_and_a_method_opens_its_cell(page, site):
    page.goto((site / "reproduced.html").as_uri() + "#paper=ross2017&verdict=not+reproduced")
    with (ROOT / "results/reproduced/ross2017.csv").open() as file:
        verdicts = Counter(row["verdict"] for row in csv.DictReader(file))
    assert shown(page, 0) == ["not reproduced"] * verdicts["not reproduced"]
    assert 0 < verdicts["not reproduced"] < verdicts["reproduced"]
    page.locator("#board tbody tr:not([hidden]) th a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/cells/ross2017-*.html")
    assert page.locator("pre").first.inner_text().startswith("rrrbench reproduce ross2017 --only ")


def test_the_first_page_opens_on_what_works(page, site):
    page.goto((site / "index.html").as_uri())
    assert page.locator(".overall").first.locator("tbody th a").all_inner_texts() == ["rrr", "pgd_ex"]
    top = page.locator(".overall").first.bounding_box()["y"]
    assert top < 500, "a newcomer need not scroll"
    page.locator(".overall tbody a", has_text="pgd_ex").click()
    assert set(shown(page, 0)) == {"pgd_ex"}
    assert len(set(shown(page, heading(page, "dataset")))) == 2, "of all data sets that were ranked"


def test_at_most_six_methods_are_named_beside_the_lines(page, site):
    page.goto(next(site.glob("sweeps/*.html")).as_uri())
    page.wait_for_selector("html[data-drawn]")
    named = page.evaluate(
        "[...document.querySelectorAll('.figure')].map((one) => (one.layout.annotations ?? []).length)"
    )
    assert all(0 < count <= 6 for count in named)
    page.set_viewport_size({"width": 400, "height": 900})
    page.wait_for_function("document.querySelector('.figure').layout.showlegend")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page, site, scheme):
    """WCAG's contrast of 4.5, of every colour of text that the style sheet has."""
    page.emulate_media(color_scheme=scheme)
    page.goto((site / "index.html").as_uri())
    contrasts = page.evaluate(
        """() => {
          const style = getComputedStyle(document.documentElement);
          const light = (name) => {
            const hex = style.getPropertyValue(`--${name}`).trim();
            const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
              .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
          };
          return Object.fromEntries(["text", "quiet", "accent", "good", "near", "bad"].flatMap((name) =>
            ["ground", "band"].map((ground) => [`${name} on ${ground}`,
              Math.max(light(name), light(ground)) / Math.min(light(name), light(ground))])));
        }"""
    )
    assert {name: value for name, value in contrasts.items() if not value >= 4.5} == {}
