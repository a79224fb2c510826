import numpy as np
import torch
from rendering import rendered, small
from sklearn.datasets import load_breast_cancer, load_iris


def source():
    """The paper's 100 rows, unscaled, straight from scikit-learn."""
    iris, cancer = load_iris(), load_breast_cancer()
    tumours = [cancer.data[cancer.target == k][:50] for k in (0, 1)]
    return np.hstack([iris.data[50:], np.concatenate(tumours)])


def native(dataset, split):
    low, high = dataset.native_range
    return (low + split.inputs * (high - low)).numpy()


def positions(rows, among):
    """The row of `among` nearest to each of `rows`, which it must equal to float32."""
    scaled = np.abs(rows[:, None] - among).max(axis=2) / np.abs(among).max()
    assert (scaled.min(axis=1) < 1e-6).all()
    return scaled.argmin(axis=1)


def test_train_and_test_are_the_papers_rows_once_each():
    dataset, rows = rendered(small(name="iris-cancer")), source()
    train, test = (positions(native(dataset, split), rows) for split in (dataset.train, dataset.test("aligned")))
    assert (len(train), len(test)) == (67, 33)
    np.testing.assert_array_equal(dataset.train.labels, train >= 50)
    np.testing.assert_array_equal(dataset.test("aligned").labels, test >= 50)
    # a few flowers are equal twins, so their rows are told apart by the tumours alone
    assert sorted([*train, *test]) == list(range(100))


def test_exchanged_flowers_are_test_flowers_of_the_species_of_their_value():
    dataset = rendered(small(name="iris-cancer"))
    aligned = dataset.test("aligned")
    flowers = {k: {tuple(row) for row in aligned.inputs[aligned.labels == k, :4].tolist()} for k in (0, 1)}
    for environment in ("aligned", "random", "conflict", "reversed"):
        split = dataset.test(environment)
        for row, value in zip(split.inputs[:, :4].tolist(), split.shortcuts.tolist(), strict=True):
            assert tuple(row) in flowers[value]


def test_clean_has_no_flower():
    dataset = rendered(small(name="iris-cancer"))
    clean = dataset.test("clean")
    assert (clean.inputs[:, :4] == 0).all()
    assert torch.equal(clean.inputs[:, 4:], dataset.test("aligned").inputs[:, 4:])


def test_validation_pairs_unused_tumours_with_training_flowers_of_their_class():
    dataset, cancer = rendered(small(name="iris-cancer")), load_breast_cancer()
    validation = dataset.validation
    unused = [cancer.data[cancer.target == k][50:] for k in (0, 1)]
    assert len(validation) == 2 * len(unused[0])
    for k in (0, 1):
        rows = native(dataset, validation)[validation.labels == k]
        assert len(set(positions(rows[:, 4:], unused[k]))) == len(unused[0])
        known = {tuple(row) for row in dataset.train.inputs[dataset.train.labels == k, :4].tolist()}
        assert {tuple(row) for row in validation.inputs[validation.labels == k, :4].tolist()} <= known


def test_scaled_by_one_number_the_rows_are_the_same():
    column, all_ = (rendered(small(name="iris-cancer", scale=scale)) for scale in ("column", "all"))
    assert len(set(all_.native_range[1].tolist())) == 1
    for one, other in ((column.train, all_.train), (column.test("random"), all_.test("random"))):
        np.testing.assert_allclose(native(column, one), native(all_, other), rtol=1e-6)
        assert torch.equal(one.labels, other.labels)
        assert torch.equal(one.shortcuts, other.shortcuts)


def test_masked_columns_share_one_unit():
    dataset = rendered(small(name="iris-cancer"))
    units = dataset.native_range[1]
    assert (units[:4] == np.float32(7.9)).all()
    expected = torch.zeros(34, dtype=torch.bool)
    expected[:4] = True
    assert (dataset.train.masks == expected).all()
