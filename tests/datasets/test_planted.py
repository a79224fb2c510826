"""The parts that recipes over any base share."""

from __future__ import annotations

import numpy as np
from rrrbench.datasets.planted import squares
from rrrbench.datasets.recipe import datasets


def test_squares_index_the_chosen_inputs_at_their_own_places():
    images = np.arange(3 * 1 * 4 * 4).reshape(3, 1, 4, 4)
    chosen = images[squares(np.array([0, 1, 2]), np.array([2, 1, 0]), 2, np.array([True, False, True]))]
    assert chosen.shape == (2, 2, 2, 1)
    np.testing.assert_array_equal(chosen[0, ..., 0], images[0, 0, 0:2, 2:4])
    np.testing.assert_array_equal(chosen[1, ..., 0], images[2, 0, 2:4, 0:2])


def test_the_id_has_the_base_and_of_a_path_the_stem():
    assert datasets.resolve({"name": "decoy", "base": "mnist", "variant": "cdep"}).id == "decoy-mnist[variant=cdep]"
    assert datasets.resolve({"name": "decoy", "base": "npz:/some/where/photos.npz"}).id == "decoy-npz:photos"
