import numpy as np
import pytest
from rendering import VARIANTS, small
from rrrbench.datasets.recipe import Recipe


@pytest.fixture(params=VARIANTS, ids=lambda spec: small(**spec).id)
def recipe(request) -> Recipe:
    return small(**request.param)


@pytest.fixture
def npz(tmp_path):
    """Writes 60 + 20 random images, cycling through the classes, and gives the base's name."""

    def write(side=12, channels=1, classes=10, name="own", **replaced) -> str:
        rng = np.random.default_rng(0)
        shape = (side, side, channels) if channels > 1 else (side, side)
        arrays = {}
        for part, n in (("train", 60), ("test", 20)):
            arrays[f"x_{part}"] = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
            arrays[f"y_{part}"] = np.arange(n) % classes
        arrays |= replaced
        path = tmp_path / f"{name}.npz"
        np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
        return f"npz:{path}"

    return write
