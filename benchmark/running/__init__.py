"""Runs a suite from beginning to end: which stacks, where, and what is kept."""
