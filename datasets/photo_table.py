"""Reads a table (CSV) of photos: each row's path, label, and what else its columns say."""

from __future__ import annotations

import csv
import io
import os
import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated

from pydantic import Field

from .as_written import AsWritten
from .mask_files import MaskFiles
from .photo_files import ENDINGS, PARTS, Box, Part, Photo, images_below, require_inside
from .registry import nearest

NUMBERED: dict[float, Part] = {0: "train", 1: "validation", 2: "test"}
"""Parts as WILDS, Waterbirds and CelebA number them."""
MISSING = ("nan", "na", "n/a", "#n/a", "<na>", "null")
"""What programs write for a value that is not there, in lower case."""
NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")

INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad"))
"""Characters that nobody sees: spaces and joints without width, the mark of byte order, the soft hyphen."""
RELATIVE = 1.01
"""No coordinate of a box is larger if boxes are shares of the photo, but for rounding."""
OF_SHARES = (
    "which looks like shares of the photo's width and height: boxes are x0 y0 x1 y1 in pixels, so multiply x by the "
    "width and y by the height; a pixel in the corner is said by a mask"
)


class Columns(AsWritten):
    """The names of a table's columns. Only `path` and `label` have to be there."""

    path: Annotated[str, Field(description="a photo, relative to the root; its ending may be left out")] = "path"
    label: Annotated[str, Field(description="the class, a name or a number")] = "label"
    mask: Annotated[str, Field(description="an image of the mask; empty: not known; none: there is no shortcut")] = (
        "mask"
    )
    boxes: Annotated[
        str | tuple[str, str, str, str],
        Field(description="x0 y0 x1 y1, or several of them; or four columns; empty and none as in mask"),
    ] = "boxes"
    shortcut: Annotated[str, Field(description="the shortcut's value; empty: not known")] = "shortcut"
    split: Annotated[str, Field(description="train, validation (val) or test; or 0, 1, 2")] = "split"


class PhotoTable:
    """A table of photos, read row by row; every error names the row and the column."""

    def __init__(self, table: Path, columns: Columns, root: Path, masks: Path | None) -> None:
        self.table, self.columns, self.root, self.masks = table, columns, root, masks
        self.header, self.rows = _read(table)
        names = columns.model_dump()
        boxes = columns.boxes if isinstance(columns.boxes, tuple) else (columns.boxes,)
        for field, name in names.items():
            for one in boxes if field == "boxes" else (name,):
                default = Columns.model_fields[field].default
                if one not in self.header and (field in ("path", "label") or name != default):
                    raise ValueError(
                        f"{table} has no column {one!r} ({field}); {nearest(one, self.header)}: "
                        f"say columns = {{ {field} = ... }}"
                    )
        self.boxes = tuple(name for name in boxes if name in self.header)
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def photos(self) -> list[Photo]:
        """The photos, in the order of the rows.

        Raises:
            ValueError: a row that does not fit.
        """
        found, first = [], dict[Path, int]()
        for at, row in self.rows.items():
            photo = self._photo(at, row)
            if photo.file in first:
                raise ValueError(
                    f"{self._at(at, 'path')} is {row[self.columns.path]!r}, the photo of row {first[photo.file]} "
                    "again: remove one of the rows"
                )
            first[photo.file] = at
            found.append(photo)
        for field in ("label", "shortcut"):
            self._require_one_spelling(field, [getattr(photo, field) for photo in found])
        self._require_known([photo.shortcut for photo in found])
        if {box for photo in found for box in photo.boxes or ()} == {(0, 0, 1, 1)}:  # no pixel of every corner
            at = next(at for at, photo in zip(self.rows, found, strict=True) if photo.boxes)
            raise ValueError(f"{self._at(at, 'boxes')} and all others are 0 0 1 1, {OF_SHARES}")
        return self._with_masks(found) if self.masks and self.columns.mask not in self.header else found

    def _require_one_spelling(self, field: str, values: list[str | None]) -> None:
        """Raises ValueError for two values that say the same, such as 1 and 1.0, or yes and Yes."""
        first: dict[object, tuple[int, str]] = {}
        for at, value in zip(self.rows, values, strict=True):
            if value is None:
                continue
            earlier, spelling = first.setdefault(_meant(value), (at, value))
            if value != spelling:
                raise ValueError(
                    f"{self._at(at, field)} is {value!r}, and {spelling!r} in row {earlier}: write one of them in both "
                    f"rows, or, if these are two, give them names that differ in more than their spelling"
                )

    def _require_known(self, shortcuts: list[str | None]) -> None:
        """Raises ValueError for -1 beside the numbers 0, 1, ...: it may be a value, or stand for none.

        Beside 1 alone it is a value, as in the attributes of CelebA.
        """
        said = {value for value in shortcuts if value is not None}
        if "-1" in said and "0" in said and all(re.fullmatch(r"-1|\d+", value) for value in said):
            at = next(at for at, value in zip(self.rows, shortcuts, strict=True) if value == "-1")
            raise ValueError(
                f"{self._at(at, 'shortcut')} is '-1', beside 0 in other rows: leave the cell empty where the value is "
                "not known, or, if it is a value of its own, write it as a word"
            )

    def _photo(self, at: int, row: Mapping[str, str]) -> Photo:
        label = row[self.columns.label].strip()
        if label.lower() in ("", *MISSING):
            said = f"is {label!r}, which stands for no value" if label else "is empty"
            raise ValueError(f"{self._at(at, 'label')} {said}: give the photo's class, or remove the row")
        file = self._within(at, "path", row[self.columns.path].strip(), self.root)
        mask, boxes = self._mask(at, row), self._boxes(at, row)
        if mask is not None and boxes:
            raise ValueError(f"{self._at(at, 'boxes')} and mask both say where the shortcut is: empty one of them")
        shortcut = row.get(self.columns.shortcut, "").strip()
        if shortcut.lower() in MISSING:
            raise ValueError(
                f"{self._at(at, 'shortcut')} is {shortcut!r}: leave the cell empty where the value is not known"
            )
        return Photo(file, label, self._part(at, row), mask or None, () if mask == () else boxes, shortcut or None)

    def _mask(self, at: int, row: Mapping[str, str]) -> Path | tuple[()] | None:
        written = row.get(self.columns.mask, "").strip()
        if written.lower() in ("", "none"):
            return () if written else None
        return self._within(at, "mask", written, self.masks or self.root)

    def _boxes(self, at: int, row: Mapping[str, str]) -> tuple[Box, ...] | None:
        written = " ".join(row[name].strip() for name in self.boxes).strip()
        if written.lower() in ("", "none"):
            return () if written else None
        numbers = [float(number) for number in NUMBER.findall(written)]
        boxes = tuple(zip(*[iter(numbers)] * 4, strict=False))
        rest = NUMBER.sub("", written).strip(" ,;()[]")
        if len(numbers) % 4 or re.sub(r"[\s,;()\[\]]", "", rest):
            raise ValueError(
                f"{self._at(at, 'boxes')} is {written!r}, expected x0 y0 x1 y1 in pixels of the photo, several boxes "
                "after each other, none, or nothing"
            )
        for x0, y0, x1, y1 in boxes:
            if max(map(abs, (x0, y0, x1, y1))) <= RELATIVE and any(number % 1 for number in (x0, y0, x1, y1)):
                raise ValueError(f"{self._at(at, 'boxes')} has the box {x0:g} {y0:g} {x1:g} {y1:g}, {OF_SHARES}")
            if not (0 <= x0 < x1 and 0 <= y0 < y1):
                raise ValueError(
                    f"{self._at(at, 'boxes')} has the box {x0:g} {y0:g} {x1:g} {y1:g}, expected 0 <= x0 < x1 and "
                    "0 <= y0 < y1: of x, y, width and height make x, y, x + width, y + height"
                )
        return boxes

    def _part(self, at: int, row: Mapping[str, str]) -> Part | None:
        if self.columns.split not in self.header:
            return None
        written = row[self.columns.split].strip()
        part = NUMBERED.get(_number(written)) or PARTS.get(written.lower())  # pyrefly: ignore
        if part is None:
            raise ValueError(
                f"{self._at(at, 'split')} is {written!r}, expected {', '.join(PARTS)}, or 0, 1, 2 for train, "
                "validation, test"
            )
        return part

    def _within(self, at: int, field: str, written: str, folder: Path) -> Path:
        """The file that a cell names, within a folder.

        Raises:
            ValueError: the cell is empty, leaves the folder, or names no file.
        """
        path = Path(os.path.normpath(folder / written))
        if not written or not path.is_relative_to(folder):
            raise ValueError(
                f"{self._at(at, field)} is {written!r}, expected a file in {folder}: nothing outside the named folder "
                "is read"
            )
        if not path.is_file():
            path = self._completed(path) or path
        if not path.is_file():
            raise ValueError(
                f"{self._at(at, field)} is {written!r}, but there is no file {path}{_similar(path, written)}"
            )
        for place in (path, *path.parents):
            if place == folder:
                break
            require_inside(place, folder)
        return path

    def _completed(self, path: Path) -> Path | None:
        """The image whose stem is the path's name, as tables without endings have it; None if it is not just one."""
        if path.parent not in self._listed:
            listed = self._listed.setdefault(path.parent, {})
            for file in sorted(path.parent.iterdir()) if path.parent.is_dir() else ():
                if file.suffix.lower() in ENDINGS:
                    listed.setdefault(file.stem, []).append(file)
        found = self._listed[path.parent].get(path.name, [])
        return found[0] if len(found) == 1 else None

    def _with_masks(self, photos: list[Photo]) -> list[Photo]:
        """The photos with the files of the folder of masks that are called as they are."""
        assert self.masks is not None
        files = MaskFiles(self.masks, images_below(self.masks), [photo.file for photo in photos], self.root)
        return [photo if photo.known else photo._replace(mask=files.mask_of(photo.file)) for photo in photos]

    def _at(self, at: int, field: str) -> str:
        name = getattr(self.columns, field)
        return f"{self.table}, row {at}: {name if isinstance(name, str) else ', '.join(name)}"


def _similar(path: Path, written: str) -> str:
    """Where the file may be meant that a table names as another system would."""
    if "\\" in written:
        return ": write / in place of \\ between folders"
    there = sorted(file.name for file in path.parent.iterdir()) if path.parent.is_dir() else []
    same = [name for name in there if name.casefold() == path.name.casefold()]
    return f": {same[0]} is there, and upper and lower case are two names" if same else ""


def in_order(names: set[str]) -> list[str]:
    """Names in the order of their numbers if all are numbers, else of the alphabet."""
    numbers = {name: _number(name) for name in names}
    if any(number is None for number in numbers.values()):
        return sorted(names)
    return sorted(names, key=lambda name: (float(name), name))


def _meant(name: str) -> object:
    """Equal for names of one number, and for words that differ in case, spaces or the encoding of accents alone.

    Letters by themselves keep their case, as classes of letters do.
    """
    if NUMBER.fullmatch(name):
        try:
            return Decimal(name)  # exact: two long numbers may be one float
        except InvalidOperation:  # an exponent of twenty digits
            return name
    word = " ".join(unicodedata.normalize("NFC", name.translate(INVISIBLE)).split())
    return word if len(word) == 1 else word.casefold()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _read(table: Path) -> tuple[list[str], dict[int, dict[str, str]]]:
    """The header of a CSV, and its rows by the line on which they end."""
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{table} is not UTF-8 ({error}): save it as CSV in UTF-8") from error
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = [name.strip() for name in next(lines, [])]
    twice = next((name for name in header if name and header.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{table} has two columns {twice!r}: rename one")
    rows = {}
    for line in lines:
        if line and len(line) != len(header):
            raise ValueError(
                f"{table}, row {lines.line_num}: {len(line)} values, expected {len(header)} as in the header: quote "
                f"values that have {delimiter!r} in them"
            )
        if line:
            rows[lines.line_num] = dict(zip(header, line, strict=True))
    if not rows:
        raise ValueError(f"{table} has no rows: expected a header with path and label, and a row for each photo")
    return header, rows
