"""Which file of a folder of masks belongs to which photo."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

SUFFIXES = ("_mask", "-mask", "_segmentation", "_seg")
"""What the stem of a mask may have after the stem of its photo."""


def mask_stem(stem: str) -> str:
    """The stem without the ending by which masks are called."""
    return next((stem[: -len(suffix)] for suffix in SUFFIXES if stem.lower().endswith(suffix)), stem)


class MaskFiles:
    """Masks by the stem of their photo, `x.png` or `x_mask.png` for `x.jpg`, in folders as the photos' or in none.

    Two photos of one stem have masks of their whole names, `x.jpg.png` and `x.webp.png`.

    Args:
        folder: where the masks lie.
        files: the masks.
        photos: the photos that may have masks.
        root: the folder of the photos.

    Raises:
        ValueError: no mask at all; masks of which none belongs to a photo, or some, while photos have none: a misnamed
            mask is used by nobody. Masks of more photos than are there are welcome where every photo has its own.
    """

    def __init__(self, folder: Path, files: Sequence[Path], photos: Sequence[Path], root: Path) -> None:
        self.folder, self.root = folder, root
        self.flat = all(file.parent == folder for file in files)
        taken = set(photos)
        self.masks: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for file in files:
            if file not in taken:
                for stem in dict.fromkeys((file.stem, mask_stem(file.stem))):
                    self.masks[self._place(file, folder), stem].append(file)
        self.photos: dict[tuple[str, str], list[Path]] = defaultdict(list)
        for photo in photos:
            self.photos[self._place(photo, root), photo.stem].append(photo)
        used = {photo: mask for photo in photos if (mask := self.mask_of(photo)) is not None}
        bare = [photo for photo in photos if photo not in used]
        if not bare:
            return
        if not files:
            raise ValueError(
                f"{folder} has no image, so no photo of {root} has a mask: put the masks there, or name no such folder"
            )
        expected = f"for {bare[0]} it would be {folder / self._place(bare[0], root) / bare[0].stem}.png"
        if not used:
            raise ValueError(f"{folder} has {len(files)} masks, none of them of a photo in {root}: {expected}")
        if unused := sorted(set(files) - taken - set(used.values())):
            raise ValueError(
                f"{folder} has masks of no photo in {root} ({len(unused)}, such as {unused[0]}), while {len(bare)} "
                f"photos have no mask: {expected}. Rename the masks, or remove those of no photo"
            )

    def mask_of(self, photo: Path) -> Path | None:
        """The mask of a photo, if it has one.

        Raises:
            ValueError: several files could be its mask, or the mask could be of several photos.
        """
        place = self._place(photo, self.root)
        found = self.masks.get((place, photo.name)) or self.masks.get((place, photo.stem), [])
        if len(found) > 1:
            raise ValueError(f"{photo} has two masks, {found[0]} and {found[1]}: remove the wrong one")
        if not found:
            return None
        others = [other for other in self.photos[place, photo.stem] if other != photo]
        if others and (place, photo.name) not in self.masks:
            raise ValueError(
                f"{found[0]} could be the mask of {photo} and of {others[0]}: {self._apart(photo, others)}"
            )
        return found[0]

    def _apart(self, photo: Path, others: Sequence[Path]) -> str:
        """How masks of photos with one stem are told apart: by their whole names, or else by their folders."""
        if all(other.name != photo.name for other in others):
            return f"rename one of the photos, or call the masks {photo.name}.png and {others[0].name}.png"
        own, other = (
            self.folder / each.parent.relative_to(self.root) / f"{each.stem}.png" for each in (photo, others[0])
        )
        return f"put all masks into folders as the photos are, such as {own} and {other}"

    def _place(self, file: Path, folder: Path) -> str:
        """The folder of a file within the folder of all; nothing where masks are not in folders."""
        return "" if self.flat else file.parent.relative_to(folder).as_posix()
