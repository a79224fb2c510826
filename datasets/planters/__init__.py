"""Planters, one a file: a kind of shortcut, painted into images."""
