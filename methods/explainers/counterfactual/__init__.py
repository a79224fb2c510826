"""Explainers that change an input, by its latents, until the prediction changes. One file each."""
