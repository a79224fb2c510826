"""A world whose answers are known: images are the latents, and logits are linear in them."""

from __future__ import annotations

import torch
from rrrbench.methods.explainers.counterfactual.base import (
    CounterfactualExplainer,
    Explained,
    LatentSpace,
    Question,
    counterfactuals,
)
from torch import nn

Z = 6
WEIGHT = torch.tensor([1.0, -0.5, 0.0, 2.0, 0.0, 0.0])
SHORTCUT = slice(3, 4)


class Decoder(nn.Module):
    def forward(self, latents):
        return latents[:, None, None]


class Classifier(nn.Module):
    """Log-odds of class 1: weight . z, clamped as a sure classifier's are not."""

    def __init__(self, weight=WEIGHT, bias=0.0):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.bias = bias

    def forward(self, images):
        odds = images.flatten(1) @ self.weight + self.bias
        return torch.stack([torch.zeros_like(odds), odds], 1)


def space(n=300) -> LatentSpace:
    latents = torch.randn(n, Z, generator=torch.Generator().manual_seed(5))
    return LatentSpace(latents, SHORTCUT, torch.tensor([[[-2.0], [-1.0], [-0.1]], [[2.0], [1.0], [0.1]]]))


def batch(n=5, seed=0):
    return torch.randn(n, Z, generator=torch.Generator().manual_seed(seed))


def asked(explainer: CounterfactualExplainer, latents=None, classifier=None, known=None, seed=0) -> Question:
    """The question that the explainer gets on a batch, prepared."""
    latents = batch() if latents is None else latents
    subject, rng = (
        Explained(classifier or Classifier(), Decoder(), known or space()),
        torch.Generator().manual_seed(seed),
    )
    images = subject.generator(latents)
    given = latents, subject.classifier(images).detach(), images, rng
    return Question(subject.classifier, subject.generator, subject.space, *given, explainer.prepare(subject))


def explained(
    explainer: CounterfactualExplainer | str, latents=None, classifier=None, known=None, seed=0, **parameters
):
    """Explanations, and whether the prediction of each is another than its input's."""
    if isinstance(explainer, str):
        explainer = counterfactuals.resolve({"name": explainer, **parameters})
    question = asked(explainer, latents, classifier, known, seed)
    found = explainer.explain(question)
    with torch.no_grad():
        answers = question.decoded(found)[0]
    return found, answers.argmax(2) != question.predicted[:, None]
