"""Trains a stack of runs."""
