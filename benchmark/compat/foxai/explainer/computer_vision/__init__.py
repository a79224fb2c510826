"""Explainers of images, where FoXAI has them."""
