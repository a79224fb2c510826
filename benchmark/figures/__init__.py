"""Figures: pure functions from arrays to matplotlib figures."""
