"""The twins on which a run's prediction flips, as its dataset's recipe renders them: a record holds their numbers."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from ...datasets.base import Environment, ShortcutDataset
from ...datasets.recipe import Recipe, datasets
from ...datasets.sources import at_hand
from .. import suites
from ..store.records import strip_name
from ..suite.loading import load_suite


class Untrusted(ValueError):
    """Data that are not drawn because a stranger's file asks for them."""


class Twin(NamedTuple):
    """One test input in two environments: its pictures as data URIs, and what was predicted of each, if it is known."""

    index: int
    label: int
    aligned: str
    random: str
    predicted: tuple[int, int] | None


EXAMPLES = 6
"""Twins of a run that does not say on which its prediction flips."""
LARGEST = 96
"""Pixels of the longer side of an input in a strip."""


def twins(
    configuration: Mapping[str, Any],
    flips: Iterable[tuple[int, int, int]] | None,
    digest: str,
    foreign: bool = False,
) -> list[Twin]:
    """The twins of a record's `flips`, from the run's resolved configuration; without flips, the first test inputs.

    Args:
        flips: test inputs and both predictions; None for a record that does not have them.
        digest: of the draw that the run was trained on, as the record has it: pictures of other data are not shown.
        foreign: anybody may have written the configuration: no more is drawn of it than rrrbench's own suites draw.

    Raises:
        Untrusted: the configuration is foreign, and would have files read, downloaded, or made up in any size.
        ValueError: the recipe or its data have changed since, or the record does not say which data it is of.
        LookupError, OSError: there is no such dataset, or its base data are not on this machine.
    """
    recorded, in_protocol_1 = _unversioned(configuration["dataset"]), configuration["dataset"].get("version")
    version = configuration["versions"]["dataset"] if "versions" in configuration else in_protocol_1
    recipe, seed = json.dumps(recorded, sort_keys=True), configuration["seed"]
    known = datasets.resolve(recorded)
    if known.version != version:
        raise ValueError(f"{known.id} was recorded from version {version} of its recipe, and this is {known.version}")
    if foreign:
        _check_ours(known)
    _check_same(known, seed, _digest(recipe, seed), digest)
    draw = _draw(recipe, seed)
    if flips is None and not {"aligned", "random"} <= set(draw.environments):
        raise ValueError(f"{known.id} has no twins")
    labels = draw.test("aligned").labels
    shown = [(i, None) for i in range(min(EXAMPLES, len(labels)))] if flips is None else [
        (i, (one, other)) for i, one, other in flips]  # fmt: skip
    return [
        Twin(i, int(labels[i]), _picture(recipe, seed, "aligned", i), _picture(recipe, seed, "random", i), predicted)
        for i, predicted in shown
    ]


def write_strips(rows: pd.DataFrame, folder: Path) -> None:
    """Writes a strip a run whose data are read from files: its twins side by side, aligned above random.

    A run that does not flip, or whose data are not on this machine, has none.

    Args:
        rows: with `configuration`, `flips`, `dataset_digest`, `run_key` and `sweep_key`.
        folder: of the pictures, with a folder a sweep.
    """
    for row in rows.to_dict("records"):
        configuration, flips = json.loads(row["configuration"]), json.loads(row["flips"] or "[]")
        try:
            if not flips or not datasets.resolve(_unversioned(configuration["dataset"])).files():
                continue
            shown = twins(configuration, flips, row["dataset_digest"])
        except (LookupError, OSError, ValueError):
            continue
        recipe, seed = json.dumps(_unversioned(configuration["dataset"]), sort_keys=True), configuration["seed"]
        sides = [[_pixels(recipe, seed, side, twin.index) for twin in shown] for side in ("aligned", "random")]
        image = Image.fromarray(np.concatenate([np.concatenate(side, axis=1) for side in sides]))
        scale = min(1.0, LARGEST / max(sides[0][0].shape[:2]))
        own = folder / row["sweep_key"]
        own.mkdir(parents=True, exist_ok=True)
        image.resize((round(scale * image.width), round(scale * image.height))).save(
            own / strip_name(row["run_key"]), optimize=True
        )


def _unversioned(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a recorded recipe; protocol 1.0 wrote its version among them."""
    return {name: value for name, value in recorded.items() if name != "version"}


def _check_ours(recipe: Recipe) -> None:
    base = getattr(recipe, "base", "digits")
    if recipe.with_masks() not in _our_recipes():
        raise Untrusted(f"no suite of rrrbench has {recipe.id}, and a file of records does not decide what is drawn")
    if not at_hand(base):
        raise Untrusted(f"{base} is not on this machine, and a file of records does not start a download")


def _check_same(recipe: Recipe, seed: int, here: str, recorded: str) -> None:
    if not recorded:
        raise ValueError(f"the run was recorded without the digest of its data, so {recipe.id} may have other images")
    if here != recorded:
        files = ", ".join(stamp.path for stamp in recipe.stamps())
        raise ValueError(
            f"{recipe.id}, seed {seed}, is not what the run was trained on: SHA-256 {here[:12]}… here, "
            f"{recorded[:12]}… in the record{f'; put the older content of {files} back' if files else ''}"
        )


@cache
def _our_recipes() -> tuple[Recipe, ...]:
    """The datasets of the suites that come with rrrbench, with true masks."""
    own = [load_suite(name) for name in suites.names()]
    return tuple({sweep.dataset.with_masks(): None for suite in own for sweep in suite.sweeps})


@lru_cache(maxsize=8)
def _draw(recipe: str, seed: int) -> ShortcutDataset:
    return datasets.resolve(json.loads(recipe)).make(seed)


@cache
def _digest(recipe: str, seed: int) -> str:
    return _draw(recipe, seed).digest()


@cache
def _picture(recipe: str, seed: int, environment: Environment, index: int) -> str:
    """A png of one pixel a feature, as a data URI."""
    png = BytesIO()
    Image.fromarray(_pixels(recipe, seed, environment, index)).save(png, "png")
    return "data:image/png;base64," + base64.b64encode(png.getvalue()).decode()


def _pixels(recipe: str, seed: int, environment: Environment, index: int) -> UInt8[np.ndarray, "h w *colours"]:
    """A pixel a feature; an input that is no image is a line of them."""
    values = _draw(recipe, seed).test(environment).batch(slice(index, index + 1)).inputs[0].numpy()
    image = values.reshape(1, 1, -1) if values.ndim == 1 else values
    pixels = (255 * image).round().astype(np.uint8)
    return pixels.transpose(1, 2, 0) if len(pixels) == 3 else pixels.mean(0).astype(np.uint8)
