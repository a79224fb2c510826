"""The strip of counterfactuals, on images of four pixels."""

import numpy as np
import torch
from rrrbench.benchmark.figures.strip import HIT, Labelled, counterfactual_strip


def image(*pixels):
    return torch.tensor(pixels).view(1, 2, 2)


def test_what_changed_is_seen_beside_each_counterfactual():
    """Ink that stays is grey, ink that is put red, ink that is taken blue, paper white."""
    before, after = image(1.0, 0.0, 1.0, 0.0), image(1.0, 1.0, 0.0, 0.0)
    figure = counterfactual_strip([(Labelled(before, "one"), [Labelled(after, "other", True)])], "title", columns=2)
    given, changed, absent = figure.axes
    np.testing.assert_array_equal(given.images[0].get_array()[..., 0], [[1, 0], [1, 0]])
    pixels = np.asarray(changed.images[0].get_array())
    np.testing.assert_array_equal(pixels[:, :2, 1], [[1, 1], [0, 0]])
    (kept, put), (taken, paper) = pixels[:, 3:]
    assert kept.std() == 0
    assert kept.mean() < 0.5
    assert put[0] > 2 * put[1:].max()
    assert taken[2] > 1.5 * taken[:2].max()
    assert (paper == 1).all()
    assert (given.get_xlabel(), changed.get_xlabel()) == ("one", "other")
    assert changed.spines["top"].get_edgecolor() != given.spines["top"].get_edgecolor()
    assert changed.spines["top"].get_linewidth() > given.spines["top"].get_linewidth()
    assert not absent.axison
    assert HIT == "tab:green"
