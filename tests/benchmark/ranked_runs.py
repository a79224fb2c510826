"""Runs of a few mitigations, with metrics drawn at random or worked out by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

SALIENCY = "mass_abs_over_chance/input_gradient"
METRICS = ["accuracy/validation", "accuracy/validation_swap", "accuracy/random", "flip_rate", SALIENCY, "seconds"]


def a_sweep(
    mitigation,
    strengths,
    dataset="decoy-digits",
    network="mlp",
    seeds=3,
    needs="",
    status="finished",
    luck=0,
    masks="true",
    training="",
):
    """Metrics drawn at random; `seconds` are 2 for erm and 5 for the others."""
    rng = np.random.default_rng([luck, *map(ord, dataset + network + mitigation)])
    identity = {"dataset": dataset, "network": network, "mitigation": mitigation, "masks": masks}
    identity |= {"training": training, "protocol": "2.0", "sweep_key": f"{dataset} {network} {training}"}
    return pd.DataFrame(
        identity
        | {"strength": float(strength), "seed": seed, "run_key": f"{identity}{strength}{seed}", "status": status}
        | {"needs": needs, "error": ""}
        | dict(zip(METRICS, [*rng.uniform(size=5), 2.0 if mitigation == "erm" else 5.0], strict=True))
        for strength, seed in product(strengths, range(seeds))
    )


def records(**changes):
    sweeps = [a_sweep("erm", [0], **changes), a_sweep("rrr", [0, 1, 10, 1000], needs="masks", **changes)]
    return pd.concat([*sweeps, a_sweep("find_another_explanation", [0.1, 1 / 65025], **changes)], ignore_index=True)


def by_hand():
    rows = [
        #  mitigation  needs  strength  seed  validation  random  seconds
        ("erm", "", 0.0, 0, 0.95, 0.4, 1.0),
        ("erm", "", 0.0, 1, 0.95, 0.6, 3.0),
        ("rrr", "masks", 0.00015, 0, 0.99, 0.7, 4.0),
        ("rrr", "masks", 0.00015, 1, 0.99, 0.8, 6.0),
        ("rrr", "masks", 9.0, 0, 0.90, 0.9, 5.0),
        ("rrr", "masks", 9.0, 1, 0.90, 0.8, 5.0),
    ]
    columns = ["mitigation", "needs", "strength", "seed", "accuracy/validation", "accuracy/random", "seconds"]
    return pd.DataFrame(rows, columns=columns).assign(
        dataset="d",
        network="n",
        training="",
        protocol="2.0",
        sweep_key="d n",
        masks="true",
        run_key="",
        status="finished",
        error="",
    )


def with_controls(gain):
    """`rrr` by hand, and again with wrong masks, which lose `gain` of each seed's accuracy."""
    wrong = by_hand().query("mitigation == 'rrr'").assign(masks="wrong")
    accuracy = wrong["accuracy/random"] - np.where(wrong.seed == 0, gain, gain + 0.1)
    return pd.concat([by_hand(), wrong.assign(**{"accuracy/random": accuracy})], ignore_index=True)
