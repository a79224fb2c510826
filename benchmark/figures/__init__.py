"""Figures for pages, png and pdf: one palette, one way to draw lines, labels and images; pure functions from arrays."""
