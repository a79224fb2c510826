"""Writes small photos with a patch whose colour gives the class away, and masks of the patch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "owl")


def write_photos(
    root: Path, classes=CLASSES, each=20, side=16, patch=4, images="images", masks="masks", seed=0
) -> Path:
    """`root/images/CLASS/*.png` and `root/masks/CLASS/*.png`, each photo noise with a patch of its class's grey."""
    rng = np.random.default_rng(seed)
    for k, name in enumerate(classes):
        for i in range(each):
            pixels = rng.integers(0, 40, (side, side, 3), dtype=np.uint8)
            mask = np.zeros((side, side), np.uint8)
            top, left = rng.integers(0, side - patch + 1, 2)
            mask[top : top + patch, left : left + patch] = 255
            pixels[mask > 0] = 80 * (k + 1)
            save(root / images / name / f"{i:02}.png", pixels)
            if masks:
                save(root / masks / name / f"{i:02}.png", mask)
    return root


def save(path: Path, pixels: np.ndarray | Image.Image, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path
