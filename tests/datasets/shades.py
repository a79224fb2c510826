"""How bright are the squares of Decoy-MNIST in Ghitu et al.? `RRRBENCH_DATA=D python tests/datasets/shades.py`

They took it from a course (SIDN-IAP/intro-lab), whose file we do not have and whose notebook prints accuracies of a
784-50-50-10 network at five weight decays. Here is that network, on Ross's squares at several brightnesses.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from rrrbench.datasets.recipe import make
from torch import nn
from torch.nn import functional as F
from tqdm import tqdm

DECAYS = (0.0, 0.001, 0.005, 0.01, 0.1)
PRINTED = (0.702, 0.741, 0.760, 0.843, 0.913)
"""Test accuracies in `Decoy MNIST Solutions.ipynb` at 30b7e68, one run each, 0.7604 in full."""
BRIGHTNESSES = (1.0, 0.3, 0.25, 0.2)
SEEDS = range(4)


def faint(split, brightness):
    """Ross's split with its squares at that brightness; inputs in 0..255."""
    return torch.where(split.masks, (split.inputs * brightness).floor(), split.inputs.float()), split.labels


def accuracy(inputs, labels, test_inputs, test_labels, decay, seed):
    """Of the course's training: Adam, sigmoids of one-hot labels, 10 epochs in batches of 256."""
    torch.manual_seed(seed)
    sizes = (784, 50, 50, 10)
    linear = [nn.Linear(before, after) for before, after in pairwise(sizes)]
    network = nn.Sequential(nn.Flatten(), linear[0], nn.ReLU(), linear[1], nn.ReLU(), linear[2])
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=decay)
    one_hot = F.one_hot(labels, 10).float()
    for _ in range(10):
        for some in torch.randperm(len(labels)).split(256):
            optimiser.zero_grad()
            F.binary_cross_entropy_with_logits(network(inputs[some]), one_hot[some]).backward()
            optimiser.step()
    with torch.no_grad():
        return (network(test_inputs).argmax(1) == test_labels).float().mean().item()


if __name__ == "__main__":
    data = make("decoy", 0, base="mnist", validation=10_000)
    print("brightness", *(f"{decay:>13g}" for decay in DECAYS))
    print("printed   ", *(f"{value:>13.3f}" for value in PRINTED))
    for brightness in BRIGHTNESSES:
        train, test = (faint(split, brightness) for split in (data.train, data.test("random")))
        runs = np.array([[accuracy(*train, *test, d, s) for d in DECAYS] for s in tqdm(SEEDS, leave=False)])
        cells = zip(runs.mean(0), runs.std(0, ddof=1), strict=True)
        print(f"{brightness:<10g}", *(f"{mean:.3f} ± {spread:.3f}" for mean, spread in cells), flush=True)
