"""The code of docs/data.md, run as it stands there on small photos in the places that it names."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from photo_folder import save, write_photos
from rrrbench.datasets.planter import planters
from rrrbench.datasets.planters.overlay import Shape
from rrrbench.datasets.recipe import datasets, parsed

PAGE = (Path(__file__).parents[2] / "docs/data.md").read_text()
PHOTOS, PLANTED = PAGE.split("## Planted shortcuts")
PLANTED, OTHERS = PLANTED.split("## Tables and sequences")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
NOISE = np.random.default_rng(0)


def photo(path: str, side: int = 20) -> None:
    save(Path(path), NOISE.integers(0, 256, (side, side, 3), np.uint8))


def mask(path: str, grey: int = 255, side: int = 20) -> None:
    pixels = np.zeros((side, side), np.uint8)
    pixels[4:8, 4:8] = grey
    save(Path(path), pixels)


def write_waterbirds() -> None:
    """As on disk: `metadata.csv` beside folders of species, and CUB's segmentations in grey levels."""
    lines = ["img_id,img_filename,y,split,place,place_filename"]
    for i in range(60):
        name = f"{i % 6:03}.Bird/Bird_{i:04}"
        photo(f"waterbird_complete95_forest2water2/{name}.jpg")
        mask(f"segmentations/{name}.png", grey=204 if i % 2 else 255)
        lines.append(f"{i},{name}.jpg,{i % 2},{0 if i < 36 else 1 if i < 44 else 2},{(i // 2) % 2},/b/bamboo/{i}.jpg")
    Path("waterbird_complete95_forest2water2/metadata.csv").write_text("\n".join(lines))


def write_isic() -> None:
    """As the archive exports it: ids without endings; half of the benign ones have a patch."""
    lines = ["isic_id,attribution,benign_malignant,sex"]
    for i in range(80):
        name = f"ISIC_{i:07}"
        photo(f"isic/images/{name}.jpg")
        mask(f"isic/patches/{name}.png", grey=255 if i % 4 == 0 else 0)
        lines.append(f'{name},"Hospital, Vienna",{"malignant" if i % 2 else "benign"},male')
    Path("isic/metadata.csv").write_text("\n".join(lines))


def write_celeba() -> None:
    """As on Kaggle: attributes -1 and 1, and the parts in a table of their own."""
    attributes, parts = ["image_id,Blond_Hair,Male"], ["image_id,partition"]
    for i in range(60):
        photo(f"celeba/img_align_celeba/{i:06}.jpg")
        attributes.append(f"{i:06}.jpg,{1 if i % 3 == 0 else -1},{1 if i % 2 else -1}")
        parts.append(f"{i:06}.jpg,{0 if i < 40 else 1 if i < 50 else 2}")
    Path("celeba/list_attr_celeba.csv").write_text("\n".join(attributes))
    Path("celeba/list_eval_partition.csv").write_text("\n".join(parts))


@pytest.fixture
def told(tmp_path, monkeypatch):
    """What the page's code has made."""
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path, images="photos", masks="masks")
    for write in (write_waterbirds, write_isic, write_celeba):
        write()
    names: dict = {}
    for block in BLOCKS:
        exec(compile(block, "docs/data.md", "exec"), names)
    return names


def in_toml(part):
    (block,) = re.findall(r"```toml\n(.*?)```", part, flags=re.DOTALL)
    return datasets.resolve(tomllib.loads(block)["sweeps"][0]["dataset"])


def small(recipe, seed=0):
    return recipe.model_copy(update={"size": 16}).make(seed)


def test_the_first_lines_make_a_dataset(told):
    assert list(told["draw"].environments) == ["observed", "exchanged", "elsewhere"]
    assert in_toml(PHOTOS) == told["data"]


def test_waterbirds_has_groups_and_the_background_as_shortcut(told):
    draw = small(told["waterbirds"])
    assert [len(split) for split in (draw.train, draw.validation, draw.test("observed"))] == [36, 8, 16]
    assert set(zip(draw.train.labels.tolist(), draw.train.shortcuts.tolist(), strict=True)) == {
        (0, 0), (0, 1), (1, 0), (1, 1)
    }  # fmt: skip
    assert draw.train.masks[:].double().mean() > 0.8


def test_isic_is_of_presence(told):
    draw = small(told["isic"])
    assert list(draw.environments) == ["observed", "removed", "added"]
    assert draw.train.known.all()


def test_celeba_has_groups_and_no_masks(told):
    draw = small(told["celeba"])
    assert [len(split) for split in (draw.train, draw.validation, draw.test("observed"))] == [40, 10, 10]
    assert list(draw.environments) == ["observed"]
    assert draw.train.shortcuts.unique().tolist() == [0, 1]


def test_every_twin_and_field_that_the_page_names_is_there():
    from rrrbench.benchmark.metrics.base import metric
    from rrrbench.datasets.base import MADE_UP
    from rrrbench.datasets.photo_table import Columns

    for name in re.findall(r"`((?:flip_rate|probability_shift|follow_rate|accuracy|worst_group_accuracy)/\w+)`", PAGE):
        metric(name)
    assert set(re.findall(r"^\| `(\w+)` \|", PHOTOS, flags=re.MULTILINE)) == {*MADE_UP, *Columns.model_fields}


def test_planters_are_in_the_table_and_examples_are_one_recipe():
    rows = {re.match(r"\| `(\w+)`", line)[1] for line in PLANTED.splitlines() if line.startswith("| `")}
    shapes = {*get_args(Shape)} - {"word"}  # whose row is that of `overlay`
    assert rows == {*planters.names(), *shapes}
    (written,) = re.findall(r'`"(planted-.*)"`', PLANTED)
    assert in_toml(PLANTED) == parsed(written)


def test_tables_and_sequences_are_data_sets():
    assert set(re.findall(r"^\| `([\w-]+)`", OTHERS, re.MULTILINE)) == {"table", "token-order"} <= set(datasets.names())
