"""Measures the memory that `rb.evaluate` takes on a folder of photos of 224 x 224.

python tests/benchmark/judge/photo_memory.py 300 1200 3000
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

CHILD = """
import resource
import sys

import rrrbench as rb
from torch import nn

unit = 1 if sys.platform == "darwin" else 1024  # bytes
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
convolutions = nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.Conv2d(8, 16, 5, stride=4), nn.ReLU()
network = nn.Sequential(*convolutions, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(256, 2))
rb.evaluate(network, rb.image_folder(sys.argv[1], test=float(sys.argv[2])))
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
"""


def peak(photos: int, test: float = 0.2) -> tuple[int, int]:
    """Bytes that a process has held at most, after its imports and after it has evaluated a network."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), photos)
        told = subprocess.run(
            [sys.executable, "-c", CHILD, folder, str(test)], capture_output=True, text=True, check=True
        )
    before, after = map(int, told.stdout.split()[-2:])
    return before, after


def write(root: Path, photos: int) -> None:
    """`root/images/CLASS/*.jpg`, with a square of the class's colour, and `root/masks/CLASS/*.png`."""
    rng = np.random.default_rng(0)
    for name, colour in (("cat", (255, 0, 0)), ("dog", (0, 0, 255))):
        for kind in ("images", "masks"):
            (root / kind / name).mkdir(parents=True)
        for i in range(photos // 2):
            noise = Image.fromarray(rng.integers(60, 120, (14, 14, 3), dtype=np.uint8))
            pixels, mask = np.asarray(noise.resize((224, 224))).copy(), np.zeros((224, 224), np.uint8)
            top, left = rng.integers(0, 184, 2)
            square = slice(top, top + 40), slice(left, left + 40)
            pixels[square], mask[square] = colour, 255
            Image.fromarray(pixels).save(root / "images" / name / f"{i}.jpg")
            Image.fromarray(mask).save(root / "masks" / name / f"{i}.png")


if __name__ == "__main__":
    for photos in map(int, sys.argv[1:]):
        before, after = peak(photos)
        print(f"{photos} photos: {after / 2**20:.0f} MiB, {before / 2**20:.0f} of them for imports")
