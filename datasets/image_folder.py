"""Photos that somebody took: a folder of images, with masks of the shortcut for all, for some, or for none."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Int
from pydantic import Field, model_validator

from .base import ShortcutDataset, Split, generator
from .files import Stamp
from .made_up import made_up
from .photo_files import Part, Photo, content_of_files, photos_in, stamp_of_files
from .photo_table import Columns, PhotoTable, in_order
from .photos import Photos
from .recipe import Recipe, datasets, parsed
from .registry import UnknownName
from .sources import MissingData, data_root


@datasets.register
class ImageFolder(Recipe):
    """Reads photos from a folder, by class or by a table (CSV); makes up twins from their masks.

    `root/CLASS/*`  torchvision's ImageFolder; or `root/images/CLASS/*`; or `root/train/CLASS/*` with `val` and `test`.
                    Masks: `mask_root/CLASS/STEM.png`, or `root/masks` where `root/images` is.
    `table`         a CSV with a row for each photo; `columns` says what its columns are called.

    A photo without a mask is one of which nobody has said where the shortcut is; an all-black mask says that there is
    no shortcut. Parts that are not given are drawn by the seed, as large a share of every class.

    Environments: `observed`, the test photos as they are, and twins of them, made up from their masks
    (`datasets.made_up`); no generator is known, so there are no true ones. Without a column of shortcut values
    `observed` has none (-1), and a twin has its donor's label. The licence is the photos' own.
    """

    name = "image-folder"

    root: Annotated[str, Field(min_length=1, description="folder of the photos")]
    mask_root: Annotated[str, Field(description="folder of the masks, in the root or beside it")] = ""
    table: Annotated[str, Field(description="CSV with a row for each photo, in the root or beside it")] = ""
    columns: Annotated[Columns, Field(description="what the table's columns are called; see `Columns`")] = Columns()
    size: Annotated[
        int, Field(ge=1, le=4096, description="height and width of inputs: shorter side resized, centre cropped")
    ] = 224
    mask_threshold: Annotated[
        int | None, Field(ge=1, le=255, description="grey level from which a mask's pixel counts; None: two values")
    ] = None
    masks_show: Annotated[
        Literal["shortcut", "object"], Field(description="what masks cover; object: the shortcut is all the rest")
    ] = "shortcut"
    validation: Annotated[float, Field(gt=0, lt=1, description="share to validate on, if not given")] = 0.1
    test: Annotated[float, Field(gt=0, lt=1, description="share to test on, if not given")] = 0.2

    @model_validator(mode="after")
    def _leave_some_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation = {self.validation:g} and test = {self.test:g} leave nothing to train on: give "
                "shares whose sum is below 1"
            )
        return self

    @property
    def id(self) -> str:
        """The name, with the folder's own name in it: `image-folder-photos[size=64]`."""
        paths = {"root", "mask_root", "table", "columns"}
        changed = self.model_dump(mode="json", exclude_defaults=True, exclude=paths)
        inner = ",".join(f"{key}={changed[key]}" for key in sorted(changed))
        return f"{self.name}-{Path(self.root).name}" + (f"[{inner}]" if inner else "")

    def files(self) -> tuple[Path, ...]:
        try:
            photos = self.photos()
        except MissingData:
            return ()
        table = [self._table] if self.table else []
        return (*table, *(photo.file for photo in photos), *(photo.mask for photo in photos if photo.mask))

    def stamps(self) -> tuple[Stamp, ...]:
        """One stamp of all files: thousands would be compared, noted and listed one by one."""
        files = self.files()
        return (stamp_of_files(self._root, files),) if files else ()

    def content(self, stamp: Stamp) -> str:
        return content_of_files(self._root, self.files())

    def require(self) -> None:
        self.photos()

    def photos(self) -> list[Photo]:
        """Every photo, and what is said of it.

        Raises:
            MissingData: a folder or the table is not there.
            ValueError: what is there does not fit.
        """
        masks = _found(self.mask_root, "mask_root", self._root) if self.mask_root else None
        if self.table:
            return PhotoTable(self._table, self.columns, self._root, masks).photos()
        return photos_in(self._root, masks)

    def render(self, seed: int) -> ShortcutDataset:
        photos = _photos(self.with_masks(), self.stamps())
        classes = in_order({photo.label for photo in photos.photos}) if self.table else _alphabet(photos)
        labels = np.array([classes.index(photo.label) for photo in photos.photos])
        values = in_order({photo.shortcut for photo in photos.photos if photo.shortcut is not None})
        place = {None: -1, **{value: i for i, value in enumerate(values)}}
        shortcuts = np.array([place[photo.shortcut] for photo in photos.photos])
        known = np.array([photo.known for photo in photos.photos])
        rows = self._parts([photo.part for photo in photos.photos], labels, classes, seed)

        def split(part: Part) -> Split:
            own = rows[part]
            label, shortcut, said = (torch.from_numpy(array[own]) for array in (labels, shortcuts, known))
            return Split(photos.images(own), label, photos.masks(own), shortcut, known=said)

        train, observed = split("train"), split("test")
        return ShortcutDataset(
            id=self.id,
            seed=seed,
            class_shortcuts=_usual(train, len(classes)) if values else torch.arange(len(classes)),
            train=train,
            validation=split("validation"),
            environments={"observed": observed, **made_up(observed, seed, valued=bool(values))},
        )

    @property
    def _root(self) -> Path:
        return _found(self.root, "root")

    @property
    def _table(self) -> Path:
        return _found(self.table, "table", self._root, file=True)

    def _parts(
        self, given: list[Part | None], labels: Int[np.ndarray, "n"], classes: list[str], seed: int
    ) -> dict[Part, Int[np.ndarray, "_"]]:
        """The places of the photos of each part.

        Raises:
            ValueError: a part without photos, or a class that is not in the training part.
        """
        if len(classes) < 2:
            raise ValueError(f"{self.root}: every photo is of class {classes[0]!r}: expected two classes or more")
        if len(classes) > len(labels) / 2:
            raise ValueError(
                f"{self.root}: {len(labels)} photos are of {len(classes)} classes, such as {', '.join(classes[:3])}: a "
                "class needs several photos. If the labels are a quantity, divide it into classes; if they are names "
                "of photos, another column has the label (columns = { label = ... })"
            )
        parts = np.array([part or "train" for part in given], dtype=object)
        rng = generator(seed, "photos/parts")
        drawn: tuple[tuple[Part, float], ...] = (("test", self.test), ("validation", self.validation))
        for part, share in drawn:
            if part not in given:
                for k in range(len(classes)):
                    own = rng.permutation(np.flatnonzero((labels == k) & (parts == "train")))
                    parts[own[: round(share * (labels == k).sum())]] = part
        # in a drawn order, because metrics look at the first inputs, and folders are sorted by class
        of_part: tuple[Part, ...] = ("train", "validation", "test")
        rows = {part: rng.permutation(np.flatnonzero(parts == part)) for part in of_part}
        for part, own in rows.items():
            if not len(own):
                raise ValueError(
                    f"{self.root}: no photo is left for {part}, of {len(parts)} in all: say which photos these are, "
                    "or give larger shares (validation = ..., test = ...)"
                )
        absent = [name for k, name in enumerate(classes) if not (labels[rows["train"]] == k).any()]
        if absent:
            raise ValueError(
                f"{self.root}: no training photo is of class {', '.join(absent)}: add photos, or remove the class"
            )
        return rows


def image_folder(
    root: str | Path, masks: str | Path | None = None, *, table: str | Path | None = None, **parameters: Any
) -> Recipe:
    """The recipe of a folder of photos: `image_folder("photos", masks="masks", size=64)`.

    Args:
        masks: the folder of the masks (`mask_root` in a suite); not needed where `root` has `images` and `masks`.
        table: a CSV with a row for each photo.
        parameters: the other fields of `ImageFolder`, e.g. `columns={"path": "img_filename", "label": "y"}`.

    Raises:
        BadParameters: a parameter that there is not, or a value outside its range.
    """
    paths = {"mask_root": "" if masks is None else os.fspath(masks), "table": "" if table is None else os.fspath(table)}
    given = {name: path for name, path in paths.items() if path}
    return datasets.resolve({"name": "image-folder", "root": os.fspath(root), **given, **parameters})


def recipe_of(written: str | Path) -> Recipe:
    """The recipe with this id, such as `decoy-mnist`; or that of a folder of photos.

    Raises:
        UnknownName: there is neither.
        BadParameters: the recipe does not take these parameters.
    """
    if isinstance(written, Path):
        return image_folder(written)
    try:
        return parsed(written)
    except UnknownName as error:
        if Path(written).is_dir():
            return image_folder(written)
        raise UnknownName(f"{error}; and there is no folder {written!r}") from error


@lru_cache(maxsize=2)
def _photos(recipe: ImageFolder, stamps: tuple[Stamp, ...]) -> Photos:  # the stamps: a replaced photo is read anew
    return Photos(recipe.photos(), recipe.size, recipe.mask_threshold, recipe.masks_show == "object")


def _alphabet(photos: Photos) -> list[str]:
    """The classes as torchvision's ImageFolder orders them, `10` before `9`."""
    return sorted({photo.label for photo in photos.photos})


def _usual(train: Split, classes: int) -> Int[torch.Tensor, "classes"]:
    """The commonest shortcut value of each class in training; of classes without values, 0."""
    counts = torch.zeros(classes, max(int(train.shortcuts.max()), 0) + 1, dtype=torch.int64)
    valued = train.shortcuts >= 0
    counts.index_put_((train.labels[valued], train.shortcuts[valued]), torch.tensor(1), accumulate=True)
    return counts.argmax(1)


def _found(written: str, field: str, root: Path | None = None, file: bool = False) -> Path:
    """The folder or the file of a field: in the root, in the working folder, or in the data root.

    Raises:
        MissingData: it is not there.
    """
    places = [*([root] if root else []), Path.cwd(), data_root()]
    candidates = [Path(os.path.normpath(place / Path(written).expanduser())) for place in places]
    for candidate in candidates:
        if candidate.is_file() if file else candidate.is_dir():
            return candidate
    kind = "file" if file else "folder"
    raise MissingData(
        f"{field} = {written!r} is no {kind}: looked for {' and '.join(dict.fromkeys(map(str, candidates)))}. Put it "
        "into one of these places, or give its full path"
    )
