"""A dataset's recipe: the parameters and the rule from which a seed draws every split."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field

from .base import ShortcutDataset, generator
from .files import Stamp, sha256, stamp_of
from .masks import Corruption, annotate
from .registry import BadParameters, Named, Registry


class Recipe(Named):
    """A dataset's rule; its fields are the parameters, and (parameters, seed) alone decide every pixel."""

    masks: Annotated[Corruption, Field(description="masks as the mitigation is told; metrics use the true ones")] = (
        "true"
    )
    annotated: Annotated[int | None, Field(ge=0, description="training inputs that have a mask; None for all")] = None

    @property
    def annotation(self) -> str:
        """The masks in words: `true`, `wrong`, `on 25 inputs`, `wrong, on 25 inputs`."""
        few = [] if self.annotated is None else [f"on {self.annotated} inputs"]
        return ", ".join([*([] if few and self.masks == "true" else [self.masks]), *few])

    def with_masks(self, masks: Corruption = "true", annotated: int | None = None) -> Self:
        """The same data under other masks."""
        return self.model_copy(update={"masks": masks, "annotated": annotated})

    def files(self) -> tuple[Path, ...]:
        """The files that it is rendered from, as far as they are there; a recipe that reads files names them here.

        Finished runs are compared with these files: a file that is replaced is then an error and no old table.
        """
        return ()

    def stamps(self) -> tuple[Stamp, ...]:
        """What the file system says of `files`: with other stamps, the same recipe may have another content."""
        return tuple(map(stamp_of, self.files()))

    def content(self, stamp: Stamp) -> str:
        """SHA-256 of what lies behind one of `stamps`."""
        return sha256(stamp)

    def require(self) -> None:
        """Does nothing if the files that it is rendered from are there or can be had.

        Raises:
            MissingData: they are not, and why.
        """

    def render(self, seed: int) -> ShortcutDataset:
        """The dataset with its true masks; what a recipe implements."""
        raise NotImplementedError

    def make(self, seed: int) -> ShortcutDataset:
        """The dataset, with the masks of `train` and `validation` as this recipe's `masks` and `annotated` say."""
        dataset = self.render(seed)
        return replace(
            dataset,
            train=annotate(dataset.train, self.masks, self.annotated, generator(seed, "masks/train")),
            validation=annotate(dataset.validation, self.masks, None, generator(seed, "masks/validation")),
        )


datasets: Registry[Recipe] = Registry("dataset", __package__ or "rrrbench.datasets")


def parsed(id: str) -> Recipe:
    """The recipe with this id, e.g. `decoy-mnist[variant=cdep]`: its name, its base, and what differs from defaults.

    Raises:
        UnknownName: no recipe has this name.
        BadParameters: it does not take these parameters.
    """
    written = re.fullmatch(r"([^\[\]]+)(?:\[(.*)\])?", id)
    if written is None:
        raise BadParameters(f"dataset {id!r} is no name with parameters, such as decoy-mnist[variant=cdep]")
    name, inner = written[1], written[2] or ""
    parameters = {key: _value(text) for key, text in re.findall(r"(\w+)=((?:\[[^\]]*\]|\([^)]*\)|[^,\[(])+)", inner)}
    if name not in datasets.names():
        known = [known for known in datasets.names() if name.startswith(f"{known}-")]
        if known:
            longest = max(known, key=len)
            parameters["base"], name = name.removeprefix(f"{longest}-"), longest
    return datasets.resolve({"name": name, **parameters})


def _value(text: str) -> Any:
    """A number, a list or a truth value as Python prints it; else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def make(name: str, seed: int, **parameters: object) -> ShortcutDataset:
    """The dataset `name` with these parameters: `make("decoy", 0, base="digits", correlation=0.95)`."""
    return datasets.resolve({"name": name, **parameters}).make(seed)
