"""One cross or two: the images of Viviano et al. (ICLR 2021, `synth_hard`), drawn again bit for bit."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int

SIDE, OF_A_CLASS = 28, 256


def draw_crosses(seed: int) -> tuple[Bool[np.ndarray, "512 28 28"], Int[np.ndarray, "512"]]:
    """Where the crosses of 512 images are: one in each of the first 256, class 0, two in each of the others, class 1.

    Arms have 1 or 2 pixels, all arms of an image the same; rows of centres are distinct, and so are columns. The
    authors' own three sets have the seeds 1 (training), 2 (validation) and 3 (test) of NumPy's legacy generator.
    """
    rng = np.random.RandomState(seed)  # theirs, for the same bits
    labels = np.repeat([0, 1], OF_A_CLASS)
    images = np.zeros((len(labels), SIDE, SIDE), dtype=bool)
    for image, label in zip(images, labels, strict=True):
        arm = rng.randint(1, 3)
        rows, columns = (rng.choice(np.arange(arm, SIDE - arm), label + 1, replace=False) for _ in range(2))
        for row, column in zip(rows, columns, strict=True):
            image[row - arm : row + arm + 1, column] = True
            image[row, column - arm : column + arm + 1] = True
    return images, labels
