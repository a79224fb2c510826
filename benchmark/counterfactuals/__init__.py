"""Counterfactual explainers against a generator whose latents are known: `docs/counterfactuals.md`."""
