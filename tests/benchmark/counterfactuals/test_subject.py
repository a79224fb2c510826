"""Letters and the classifier that is trained on them: 200 letters, one epoch."""

import pytest
import torch
from rrrbench.benchmark.counterfactuals import subject as subject_module
from rrrbench.benchmark.counterfactuals.subject import trained
from rrrbench.benchmark.suite.training import Training
from rrrbench.datasets.glyphs import draw_glyphs


def test_a_classifier_is_trained_once_for_the_same_letters(tmp_path, monkeypatch):
    glyphs, training = draw_glyphs(0, train=200, validation=20), Training(epochs=1, batch_size=50)
    state = torch.get_rng_state()
    first = trained(glyphs, training, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(subject_module, "_fit", lambda *_: pytest.fail("trained again"))
    again = trained(draw_glyphs(0, train=200, validation=20), training, tmp_path)
    for name, weight in first.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
    assert len(list(tmp_path.iterdir())) == 1
    for other in ((draw_glyphs(1, train=200, validation=20), training), (glyphs, Training(epochs=2, batch_size=50))):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            trained(*other, tmp_path)
