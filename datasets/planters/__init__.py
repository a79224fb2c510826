"""Planters: one file, one class, one way of putting a shortcut into an image."""
