"""Environments by exchange, on two features of which the first is the shortcut."""

from __future__ import annotations

import numpy as np
import torch
from rrrbench.datasets.exchange import as_split, exchange

LABELS = np.array([0, 1, 0, 1])
INPUTS = np.stack([LABELS, [0.1, 0.2, 0.3, 0.4]], axis=1).astype(np.float32)
DONORS = np.stack([1 - LABELS, [0.9, 0.9, 0.9, 0.9]], axis=1).astype(np.float32)
MASK = np.array([True, False])


def test_the_donors_features_lie_in_the_mask_where_the_value_is_not_the_label():
    splits = exchange(INPUTS, DONORS, LABELS, MASK, ("aligned", "random", "conflict"), seed=0)
    for split in splits.values():
        assert split.inputs[:, 0].tolist() == split.shortcuts.tolist()
        assert split.inputs[:, 1].tolist() == INPUTS[:, 1].tolist()
        assert split.masks.tolist() == [[True, False]] * 4
    assert splits["aligned"].shortcuts.tolist() == LABELS.tolist()
    assert splits["conflict"].shortcuts.tolist() == (1 - LABELS).tolist()


def test_splits_share_no_memory():
    arrays = INPUTS.copy(), LABELS, np.repeat(MASK[None], 4, axis=0), LABELS
    split = as_split(*arrays)
    arrays[0][:] = 0.5
    assert torch.equal(split.inputs, torch.from_numpy(INPUTS))
