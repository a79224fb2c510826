"""The parts that recipes over any base share."""

from __future__ import annotations

from rrrbench.datasets.recipe import datasets


def test_the_id_has_the_base_and_of_a_path_the_stem():
    assert datasets.resolve({"name": "decoy", "base": "mnist", "variant": "cdep"}).id == "decoy-mnist[variant=cdep]"
    assert datasets.resolve({"name": "decoy", "base": "npz:/some/where/photos.npz"}).id == "decoy-npz:photos"
