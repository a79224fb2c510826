"""Finds photos in a folder, with their classes, masks and parts; reads nothing outside the named folders."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from .files import Stamp
from .mask_files import MaskFiles, mask_stem

Part = Literal["train", "validation", "test"]
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the photo as it is shown; x1 and y1 are just outside."""
ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
CALLED: dict[Part, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
PARTS: dict[str, Part] = {name: part for part, names in CALLED.items() for name in names}
"""What a part may be called; case makes no difference."""


class Photo(NamedTuple):
    """A photo, and what its folder or its table says of it.

    Attributes:
        part: the split that it belongs to; None where the parts are drawn.
        mask: an image of the mask.
        boxes: in place of an image of the mask; empty where the photo has no shortcut, None where nothing is said.
        shortcut: the shortcut's value; None where nothing is said.
    """

    file: Path
    label: str
    part: Part | None = None
    mask: Path | None = None
    boxes: tuple[Box, ...] | None = None
    shortcut: str | None = None

    @property
    def known(self) -> bool:
        """Whether somebody has said where the shortcut is, be it nowhere."""
        return self.mask is not None or self.boxes is not None


def photos_in(root: Path, masks: Path | None) -> list[Photo]:
    """The photos of a folder with a subfolder for each class, or for each part and in it for each class.

    The subfolders may lie in `root/images`; then `root/masks`, where it is, has the masks.

    Raises:
        ValueError: no class, a class without a photo, a link that leaves the folder; the message names it.
    """
    images = root / "images" if (root / "images").is_dir() else root
    if masks is None and images != root and (root / "masks").is_dir():
        masks = root / "masks"
    folders = _subfolders(images, without=masks)
    by_part = {folder: PARTS.get(folder.name.lower()) for folder in folders}
    if "train" in by_part.values() and None not in by_part.values():
        classes = [(part, below) for folder, part in by_part.items() for below in _subfolders(folder, without=masks)]
    else:
        classes = [(None, folder) for folder in folders]
    found = {folder: images_below(folder) for _, folder in classes}
    _require_photos(root, images, [folder for _, folder in classes], found)
    beside = masks is not None and masks.resolve() == images.resolve()
    photos = {folder: list(_without_masks(images, files, beside)) for folder, files in found.items()}
    every = [file for own in photos.values() for file in own]
    mask_of = MaskFiles(masks, images_below(masks), every, images).mask_of if masks else lambda file: None
    return [Photo(file, folder.name, part, mask_of(file)) for part, folder in classes for file in photos[folder]]


def images_below(folder: Path, within: Path | None = None) -> list[Path]:
    """The files below a folder that are called as images are, sorted; hidden ones and other endings are left out.

    Args:
        within: the folder that links may not leave; this one if not given.

    Raises:
        ValueError: a link that leaves the folder, or to a folder.
    """
    found, inside = [], folder.resolve()
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if entry.is_symlink():
                    raise ValueError(f"{entry.path} is a link to a folder: move the folder there, or name it")
                found += images_below(Path(entry.path), within or inside)
            elif entry.name.lower().endswith(ENDINGS):
                file = Path(entry.path)
                if entry.is_symlink():
                    require_inside(file, within or inside)
                found.append(file)
    return found


def require_inside(file: Path, folder: Path) -> None:
    """Raises ValueError if a file is a link that leaves the folder."""
    if file.is_symlink() and not file.resolve().is_relative_to(folder.resolve()):
        raise ValueError(
            f"{file} is a link to {file.resolve()}, outside {folder}: nothing outside the named folder is read; "
            "copy the file, or name the folder that has it"
        )


def stamp_of_files(folder: Path, files: Iterable[Path]) -> Stamp:
    """One stamp of many files: of every name, size and time in their order."""
    stamps = _stamps(files)
    sha = hashlib.sha256("".join(map(repr, stamps)).encode())
    fingerprint = int.from_bytes(sha.digest()[:7], "big")
    newest = max((stamp.modified_ns for stamp in stamps), default=0)
    return Stamp(str(folder.absolute()), sum(stamp.size for stamp in stamps), newest, fingerprint)


def content_of_files(folder: Path, files: Iterable[Path]) -> str:
    """SHA-256 of many files, their names in the folder included."""
    sha = hashlib.sha256()
    for stamp in _stamps(files):
        sha.update(f"{os.path.relpath(stamp.path, folder)} {content_of(stamp)}\n".encode())
    return sha.hexdigest()


@lru_cache(maxsize=2**18)
def content_of(stamp: Stamp) -> str:
    """SHA-256 of a file, read once while it keeps its stamp; a folder has more of them than `files.sha256` keeps."""
    with open(stamp.path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamps(files: Iterable[Path]) -> list[Stamp]:
    """`files.stamp_of` of each file, whose paths are absolute: there are thousands, and this is asked often."""
    found = [(str(file), os.stat(file)) for file in files]
    return [Stamp(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in found]


def _subfolders(folder: Path, without: Path | None) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    kept = [path for path in found if without is None or path.resolve() != without.resolve()]
    for path in kept:
        if path.is_symlink():
            raise ValueError(f"{path} is a link to a folder: move the folder there, or name it")
    return kept


def _require_photos(root: Path, images: Path, classes: list[Path], found: dict[Path, list[Path]]) -> None:
    """Refuses a folder without classes, and a class without photos."""
    if not classes:
        loose, tables = images_below(images), sorted(path.name for path in root.glob("*.csv"))
        table = f"table = {tables[0]!r}" if tables else "a table (CSV) that says each photo's label"
        raise ValueError(
            f"{images} has no subfolder, and {len(loose)} images: put each class's photos into a folder of its own, "
            f"or give {table}"
        )
    counts: dict[str, int] = {}
    for folder in classes:
        counts[folder.name] = counts.get(folder.name, 0) + len(found[folder])
    for folder in classes:
        if not counts[folder.name]:
            others = sorted({path.suffix for path in folder.iterdir() if path.is_file() and path.suffix})
            endings = f"; its files end in {', '.join(others)}" if others else ""
            raise ValueError(
                f"{folder} has no image{endings}: delete the folder, or put photos of that class there "
                f"({', '.join(ENDINGS)})"
            )


def _without_masks(images: Path, files: list[Path], beside: bool) -> Iterator[Path]:
    """The files that are no masks of other files beside them.

    Raises:
        ValueError: there are such masks, but nobody said that masks lie beside the photos.
    """
    photos = {(file.parent, file.stem) for file in files}
    for file in files:
        own = mask_stem(file.stem)
        if own == file.stem or (file.parent, own) not in photos:
            yield file
        elif not beside:
            raise ValueError(
                f"{file} looks like the mask of another photo beside it: name {images} as the folder of the "
                "masks (mask_root) too, or move the masks out of it"
            )
