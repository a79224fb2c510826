from __future__ import annotations

import pytest
import torch
from rrrbench.methods.mitigations.a_clarc import AClArC
from rrrbench.methods.mitigations.erm import ERM
from rrrbench.methods.mitigations.rr_clarc import DIRECTIONS, RRClArC
from rrrbench.methods.network import Net
from rrrbench.methods.shortcut_directions import _Held, directions, features_without, paired_features, projection
from small import Linear, bound, small_dataset, small_trainer


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_a_direction_is_the_mean_change_of_a_class_scaled_to_length_1():
    changes, labels = numbers(6, 4), torch.tensor([0, 2, 0, 2, 2, 0])
    found = directions(changes, labels, 3)
    for label in (0, 2):
        mean = changes[labels == label].mean(0)
        torch.testing.assert_close(found[label], mean / mean.norm())
    assert (found[1] == 0).all()  # a class without inputs


def test_a_class_whose_features_do_not_change_has_no_direction():
    assert (directions(torch.zeros(4, 3, dtype=torch.float64), torch.tensor([0, 0, 1, 1]), 2) == 0).all()


def test_a_projection_keeps_the_directions_and_forgets_what_is_orthogonal():
    along = torch.cat((numbers(2, 5), torch.zeros(1, 5, dtype=torch.float64)))
    along[1] = along[0] * 2  # the same direction again, and none
    onto = projection(along, 3)
    torch.testing.assert_close(onto @ onto, onto)
    torch.testing.assert_close(along @ onto, along)
    torch.testing.assert_close(onto.trace().item(), 1.0)
    assert (projection(torch.zeros(2, 5, dtype=torch.float64), 2) == 0).all()


def test_of_a_lower_rank_it_keeps_the_axis_along_which_most_directions_lie():
    along = torch.eye(3, dtype=torch.float64)[[0, 0, 1]]
    torch.testing.assert_close(projection(along, 1), torch.diag(torch.tensor([1.0, 0, 0], dtype=torch.float64)))
    torch.testing.assert_close(projection(along, 2), torch.diag(torch.tensor([1.0, 1, 0], dtype=torch.float64)))


def test_masks_are_filled_by_the_mean_outside():
    """The features of this network are its inputs."""
    batch = small_dataset().train.batch()
    hidden = features_without(bound(Linear(torch.zeros(3, 36))), batch).view(-1, 1, 6, 6)
    for filled, image, mask in zip(hidden, batch.inputs, batch.masks, strict=True):
        assert torch.equal(filled[~mask], image[~mask])
        torch.testing.assert_close(filled[mask], image[~mask].mean().expand(4))


def test_pairs_are_of_the_runs_network():
    trainer = small_trainer((0.0,), seeds=(3,))
    fitted = ERM().fit(trainer)
    with_it, without_it = paired_features(trainer, fitted, 0, 0)
    net = Net(trainer.modules[0], {name: value[0, 0] for name, value in fitted.parameters.items()})
    batch = trainer.draws[0].train.batch()
    batch = batch._replace(inputs=batch.inputs.double())
    torch.testing.assert_close(with_it, net.features(batch.inputs).detach())
    torch.testing.assert_close(without_it, features_without(net, batch).detach())


@pytest.mark.long
def test_stage_2_trains_the_last_layer_alone_and_a_run_at_strength_0_not_at_all():
    for mitigation in (RRClArC(epochs=2), AClArC(epochs=2)):
        fitted, erm = mitigation.fit(small_trainer()), ERM().fit(small_trainer())
        for name, value in fitted.parameters.items():
            assert torch.equal(value[:, 0], erm.parameters[name][:, 0])
            assert torch.equal(value[:, 1], erm.parameters[name][:, 1]) == (not name.startswith("head."))
        assert fitted.parameters.keys() == erm.parameters.keys()


def test_weight_decay_does_not_shrink_the_directions():
    trainer = small_trainer((0.5,), seeds=(0,), weight_decay=0.5)
    first, along = ERM().fit(trainer), numbers(1, 1, 3, 5)
    fitted = trainer.train(_Held(RRClArC()), start={**first.parameters, DIRECTIONS: along})
    assert torch.equal(fitted.parameters[DIRECTIONS], along)
    assert not torch.equal(fitted.parameters["head.weight"], first.parameters["head.weight"])


@pytest.mark.parametrize("mitigation", [RRClArC(epochs=2), AClArC(epochs=2)], ids=lambda own: own.name)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_weight_decay_leaves_the_features_as_stage_1_left_them(mitigation, optimizer):
    def trainer():
        return small_trainer((1.0,), seeds=(0,), epochs=2, weight_decay=0.1, optimizer=optimizer)

    expected, fitted = ERM().fit(trainer()).parameters, mitigation.fit(trainer()).parameters
    for name, value in fitted.items():
        assert torch.equal(value, expected[name]) == (not name.startswith("head.")), name
