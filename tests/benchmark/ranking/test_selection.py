from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rrrbench.benchmark.ranking.selection import RULES, NoEligibleStrength, UnknownRule, eligible, headline, select

VALIDATION, SWAP, RANDOM = "accuracy/validation", "accuracy/validation_swap", "accuracy/random"


def a_sweep(strengths, status="finished", **columns):
    """Two seeds a strength; a column gives each strength's mean, from which the seeds lie 0.02 to either side."""
    names = {"validation": VALIDATION, "swap": SWAP, "random": RANDOM}
    return pd.DataFrame(
        {"strength": float(strength), "seed": seed, "status": status}
        | {names.get(key, key): means[row] + (0.02 if seed else -0.02) for key, means in columns.items()}
        for row, strength in enumerate(strengths)
        for seed in (0, 1)
    )


GOLDEN = a_sweep(
    [0, 1, 10, 100],
    validation=[0.95, 0.96, 0.955, 0.90],
    swap=[0.3, 0.5, 0.8, 0.85],
    random=[0.2, 0.6, 0.9, 0.7],
)


@pytest.mark.parametrize(
    ("rule", "strength"),
    [
        ("val_iid", 1),  # 0.96
        ("knee", 10),  # 0.955 is within 0.01 of 0.96, and 0.90 is not
        ("val_swap", 100),  # 0.85
        ("oracle", 10),  # 0.9
    ],
)
def test_each_rule_on_a_sweep_worked_by_hand(rule, strength):
    assert select(rule, GOLDEN) == strength


def test_the_best_is_of_the_mean_and_not_of_a_lucky_seed():
    sweep = a_sweep([1, 2], validation=[0.9, 0.8])
    sweep.loc[(sweep.strength == 2) & (sweep.seed == 1), VALIDATION] = 0.99  # mean 0.885
    assert select("val_iid", sweep) == 1


@pytest.mark.parametrize(
    ("validation", "strength"),
    [
        ([0.90, 0.95, 0.97], 4),  # rising: the best is the largest
        ([0.98, 0.97, 0.96], 2),  # exactly one point below counts, as decimals; 0.98 - 0.97 > 0.01 in binary
        ([0.98, 0.90, 0.975], 4),  # a dip on the way does not end the search
        ([0.98, 0.9699, 0.5], 1),
    ],
)
def test_the_knee_is_the_largest_strength_within_one_point(validation, strength):
    assert select("knee", a_sweep([1, 2, 4], validation=validation)) == strength


@pytest.mark.parametrize("rule", ["val_iid", "val_swap", "oracle"])
def test_of_equal_strengths_the_smaller_is_chosen(rule):
    assert select(rule, a_sweep([5, 3, 9], validation=[0.9] * 3, swap=[0.9] * 3, random=[0.9] * 3)) == 3


def test_equal_means_tie_whatever_the_order_of_their_sum():
    seeds = {1.0: [0.3, 0.2, 0.1], 2.0: [0.1, 0.2, 0.3]}
    assert sum(seeds[1.0]) < sum(seeds[2.0])  # in floating point
    rows = [(strength, seed, "finished", v) for strength in seeds for seed, v in enumerate(seeds[strength])]
    assert select("val_iid", pd.DataFrame(rows, columns=["strength", "seed", "status", VALIDATION])) == 1


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_given_the_scores_that_it_declares_and_no_others(rule):
    seen = []
    spy = replace(RULES[rule], choose=lambda strengths, scores: seen.append([*strengths, *scores]) or strengths[0])
    declared = [column for column in RULES[rule].reads if column in GOLDEN]
    select(spy, GOLDEN)
    select(spy, GOLDEN[["strength", "seed", "status", *declared]])
    means = GOLDEN.groupby("strength")[declared[0]].mean()
    assert seen[0] == seen[1] == pytest.approx([*means.index, *means])


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"oracle"}))
def test_no_rule_but_the_oracle_reads_a_test_environment(rule):
    assert set(RULES[rule].reads) <= {VALIDATION, SWAP}
    without_tests = GOLDEN.drop(columns=RANDOM)
    assert select(rule, GOLDEN) == select(rule, without_tests)


def test_the_oracle_falls_back_on_the_environments_there_are():
    columns = {"accuracy/conflict": [0.1, 0.4], "accuracy/clean": [0.9, 0.8]}
    assert select("oracle", a_sweep([0, 1], **columns)) == 1
    assert select("oracle", a_sweep([0, 1], **columns, random=[0.6, 0.5])) == 0
    assert select("oracle", a_sweep([0, 1], **columns, random=[np.nan, np.nan])) == 1
    assert select("oracle", a_sweep([0, 1], **{"accuracy/clean": [0.9, 0.8]})) == 0


def test_the_headline_of_runs_without_a_shifted_environment_is_nan():
    assert headline(a_sweep([0, 1], validation=[0.1, 0.2])).isna().all()


@pytest.mark.parametrize("status", ["diverged", "inert", "failed"])
def test_one_unfinished_run_makes_its_strength_ineligible(status):
    sweep = GOLDEN.copy()
    sweep.loc[(sweep.strength == 1) & (sweep.seed == 0), "status"] = status
    assert set(eligible(sweep).strength) == ({10, 100} if status == "inert" else {0, 10, 100})
    assert select("val_iid", sweep) == 10  # 0.955, the next best


def test_a_strength_without_all_seeds_is_ineligible():
    sweep = GOLDEN[~((GOLDEN.strength == 1) & (GOLDEN.seed == 0))]  # the seed left has 0.98, the best of all
    assert select("val_iid", sweep) == 10


def test_as_many_seeds_but_other_ones_are_not_paired():
    sweep = a_sweep([1, 2], validation=[0.9, 0.8])
    sweep.loc[sweep.strength == 2, "seed"] += 1
    with pytest.raises(NoEligibleStrength, match="no strength has all 3 seeds"):
        select("val_iid", sweep)


def test_a_strength_without_the_accuracy_in_some_seed_is_not_chosen():
    sweep = GOLDEN.copy()
    sweep.loc[(sweep.strength == 1) & (sweep.seed == 0), VALIDATION] = np.nan
    assert select("val_iid", sweep) == 10


def test_the_reason_counts_the_unfinished_runs():
    sweep = a_sweep([1, 2], status="inert", validation=[0.9, 0.9])
    sweep.loc[0, "status"] = "diverged"
    with pytest.raises(NoEligibleStrength, match=r"^1 diverged run, 3 inert runs$"):
        select("val_iid", sweep)


def test_a_rule_whose_column_is_missing_says_so():
    with pytest.raises(NoEligibleStrength, match="val_swap reads accuracy/validation_swap, which no strength has"):
        select("val_swap", a_sweep([0, 1], validation=[0.9, 0.9]))


def test_the_same_run_twice_is_an_error():
    with pytest.raises(ValueError, match="two runs have strength 10 and seed 0"):
        select("knee", pd.concat([GOLDEN, GOLDEN[4:5]]))


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(UnknownRule, match="no selection rule is called 'kne'; did you mean knee"):
        select("kne", GOLDEN)


@pytest.mark.parametrize("rule", RULES)
def test_the_order_of_records_does_not_matter(rule):
    chosen = {select(rule, GOLDEN.sample(frac=1, random_state=seed)) for seed in range(5)}
    assert chosen == {select(rule, GOLDEN)}


def test_a_mitigation_that_is_inert_at_every_strength_is_not_ranked_by_its_strength_0():
    sweep = a_sweep([0, 1], validation=[0.9, 0.9])
    sweep.loc[sweep.strength == 1, "status"] = "inert"
    with pytest.raises(NoEligibleStrength, match="2 inert runs"):
        select("knee", sweep)
