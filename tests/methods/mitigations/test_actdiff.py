from __future__ import annotations

import torch
from linear_network import BATCH, INPUTS, MASKS, NET, STRENGTH
from rrrbench.methods.mitigations.actdiff import ActDiff, permuted
from small import small_dataset

COINS = torch.Generator().manual_seed(0)
CHANGED = torch.where(MASKS, torch.rand(3, 5, dtype=torch.float64, generator=COINS), INPUTS)
DRAWN = BATCH._replace(draws={"changed": CHANGED})


def drawn(mitigation: ActDiff, batch, seed: int = 0):
    return mitigation.augment(batch, 3, torch.Generator().manual_seed(seed))


def test_the_term_is_the_norm_of_the_features_difference():
    """The features of this network are its inputs; an input without a mask counts 0."""
    norms = ((CHANGED - INPUTS).square().sum(1) + 1e-6).sqrt() * torch.tensor([1, 1, 0])
    torch.testing.assert_close(ActDiff().terms(NET, DRAWN, STRENGTH).right_reason, STRENGTH * norms.mean())


def test_the_strength_is_multiplied_in():
    """The released code's is not."""
    once, twice = (ActDiff().terms(NET, DRAWN, strength).right_reason for strength in (STRENGTH, 2 * STRENGTH))
    torch.testing.assert_close(twice, 2 * once)


def test_the_gradient_goes_through_both_passes():
    inputs, changed = INPUTS.clone().requires_grad_(), CHANGED.clone().requires_grad_()
    batch = BATCH._replace(inputs=inputs, draws={"changed": changed})
    own, others = torch.autograd.grad(ActDiff().terms(NET, batch, STRENGTH).right_reason, [inputs, changed])
    torch.testing.assert_close(own, -others)
    assert own.abs().max() > 0


def test_features_that_do_not_move_have_a_finite_gradient():
    inputs = INPUTS.clone().requires_grad_()
    batch = BATCH._replace(inputs=inputs, draws={"changed": INPUTS})
    (gradient,) = torch.autograd.grad(ActDiff().terms(NET, batch, STRENGTH).right_reason, inputs)
    assert (gradient == 0).all()


def test_a_patch_of_a_constant_colour_gets_another_inputs_colour():
    """Permuted within itself it would be the same patch, and the term 0 for ever."""
    batch = small_dataset().train.batch()
    changed = drawn(ActDiff(), batch).draws["changed"]
    assert torch.equal(changed[~batch.masks], batch.inputs[~batch.masks])
    colours, before = (images[batch.masks].view(24, 4) for images in (changed, batch.inputs))
    assert (colours == colours[:, :1]).all()
    assert set(colours[:, 0].tolist()) <= set(before[:, 0].tolist())
    assert not torch.equal(colours, before)


def test_outside_the_core_pixels_are_permuted_within_the_image():
    batch = small_dataset().train.batch()
    changed = drawn(ActDiff(told="outside core"), batch).draws["changed"]
    for image, new, core in zip(batch.inputs, changed, batch.core, strict=True):
        assert torch.equal(new[core], image[core])
        assert torch.equal(new[~core].sort().values, image[~core].sort().values)
        assert not torch.equal(new[~core], image[~core])


def test_a_permutation_moves_all_channels_alike_and_leaves_what_is_not_chosen():
    images = torch.rand(4, 3, 5, 5, generator=COINS)
    chosen = torch.rand(4, 1, 5, 5, generator=COINS) < 0.5
    chosen[2] = False
    new = permuted(images, chosen, torch.Generator().manual_seed(1))
    assert torch.equal(new[2], images[2])
    assert torch.equal(new.masked_select(~chosen), images.masked_select(~chosen))
    pixels, moved = (part.permute(0, 2, 3, 1).flatten(1, 2) for part in (images, new))
    for before, after in zip(pixels, moved, strict=True):
        assert sorted(before.tolist()) == sorted(after.tolist())  # triples of channels stay together


def test_every_place_can_go_to_every_place():
    image, chosen = torch.arange(4.0)[None], torch.ones(1, 4, dtype=torch.bool)
    seen = {tuple(permuted(image, chosen, torch.Generator().manual_seed(s))[0].tolist()) for s in range(400)}
    assert len(seen) == 24


def test_an_image_without_a_core_mask_stays():
    batch = small_dataset().train.batch()
    batch = batch._replace(core=torch.zeros_like(batch.core))
    assert torch.equal(drawn(ActDiff(told="outside core"), batch).draws["changed"], batch.inputs)


def test_draws_depend_on_the_generator_alone():
    batch = small_dataset().train.batch()
    for mitigation in (ActDiff(), ActDiff(told="outside core")):
        first, again, other = (drawn(mitigation, batch, seed).draws["changed"] for seed in (0, 0, 1))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
