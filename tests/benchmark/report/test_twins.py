"""The twins of a page are of the data that the run was trained on, or are not shown."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_up_rows import made_up_recording
from PIL import Image
from rrrbench.benchmark.report.site import write_site
from rrrbench.benchmark.report.twins import EXAMPLES, _draw, twins, write_strips
from rrrbench.benchmark.store.records import strip_name
from rrrbench.datasets.recipe import Recipe, datasets
from tiny import tiny_suite

FLIPS = [(3, 1, 2)]


@pytest.fixture(autouse=True)
def a_new_process():
    _draw.cache_clear()


@pytest.fixture
def write(tmp_path):
    def images(seed: int = 0, **replaced: np.ndarray) -> Path:
        rng = np.random.default_rng(seed)
        arrays = {f"x_{part}": rng.integers(0, 256, (20, 12, 12), np.uint8) for part in ("train", "test")}
        arrays |= {f"y_{part}": np.arange(20) % 2 for part in ("train", "test")}
        np.savez(tmp_path / "mine.npz", **(arrays | replaced))
        return tmp_path / "mine.npz"

    return images


def recipe(path: Path) -> Recipe:
    return datasets.resolve({"name": "decoy", "base": f"npz:{path}"})


NOISE = np.random.default_rng(7)


def configuration(of: Recipe) -> dict:
    return {"versions": {"dataset": of.version}, "seed": 0, "dataset": of.resolved()}


def test_twins_of_the_recorded_data_are_shown(write):
    own = recipe(write())
    (twin,) = twins(configuration(own), FLIPS, own.make(0).digest())
    assert (twin.index, twin.label, twin.predicted) == (3, 1, (1, 2))
    assert twin.aligned.startswith("data:image/png;base64,")


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"x_test": NOISE.integers(0, 256, (20, 12, 12), np.uint8)},
        {"y_train": (np.arange(20) + 1) % 2},
        {"x_train": NOISE.integers(0, 256, (20, 12, 12), np.uint8)},
    ],
    ids=["all", "test images", "labels", "training images"],
)
def test_a_replaced_file_gives_no_other_pictures(write, change):
    own = recipe(write())
    digest = own.make(0).digest()
    path = write(**change)
    with pytest.raises(
        ValueError, match=r"seed 0, is not what the run was trained on: SHA-256 .* in the record"
    ) as why:
        twins(configuration(own), FLIPS, digest)
    assert f"put the older content of {path} back" in str(why.value)
    assert digest[:12] in str(why.value)


def test_a_record_without_its_flips_shows_the_first_twins(write):
    own = recipe(write())
    shown = twins(configuration(own), None, own.make(0).digest())
    assert [twin.index for twin in shown] == list(range(len(shown)))
    assert {twin.predicted for twin in shown} == {None}
    assert 0 < len(shown) <= EXAMPLES
    flipped = twins(configuration(own), FLIPS, own.make(0).digest())
    same = {twin.index: twin for twin in shown}
    assert all(twin.aligned == same[twin.index].aligned for twin in flipped if twin.index in same)


def test_a_record_without_a_digest_gives_no_pictures(write):
    with pytest.raises(ValueError, match="recorded without the digest of its data"):
        twins(configuration(recipe(write())), FLIPS, "")


@pytest.mark.long
def test_readers_without_the_file_see_the_twins_beside_the_records(write, tmp_path):
    suite = tiny_suite(seeds=(0,), dataset={"name": "decoy", "base": f"npz:{write()}"})
    material = made_up_recording(suite)
    rows = material.runs.head(1).assign(
        dataset_digest=suite.sweeps[0].dataset.make(0).digest(), flips=json.dumps([[3, 1, 0], [4, 0, 1]])
    )
    write_strips(rows, tmp_path / "own.pictures")
    (strip,) = (tmp_path / "own.pictures").rglob("*.png")
    assert strip.name == strip_name(rows["run_key"].iat[0])
    with Image.open(strip) as image:
        assert image.size == (2 * 12, 2 * 12), "two inputs, and below them their twins"
    write(seed=1)
    write_site(
        [replace(material, runs=rows, pictures=tmp_path / "own.pictures", foreign=True)], tmp_path / "site", tmp_path
    )
    (page,) = (tmp_path / "site/runs").glob("*.html")
    assert "The prediction changes 1 → 0, 0 → 1." in " ".join(page.read_text().split())
    assert strip.name in page.read_text()


def test_data_that_come_with_rrrbench_need_no_strip(tmp_path):
    material = made_up_recording(tiny_suite(seeds=(0,)))
    write_strips(material.runs.assign(flips=json.dumps(FLIPS)), tmp_path)
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_the_page_of_a_run_on_an_older_file_says_so(write, tmp_path):
    suite = tiny_suite(seeds=(0,), dataset={"name": "decoy", "base": f"npz:{write()}"})
    digest = suite.sweeps[0].dataset.make(0).digest()
    material = made_up_recording(suite)
    material.runs["dataset_digest"] = digest
    material.runs["flips"] = json.dumps(FLIPS)
    material = replace(material, runs=material.runs.head(1))
    write(seed=1)
    write_site([material], tmp_path / "site", tmp_path)
    (page,) = (tmp_path / "site/runs").glob("*.html")
    assert "None to show: decoy-npz:mine, seed 0, is not what the run was trained on" in page.read_text()
