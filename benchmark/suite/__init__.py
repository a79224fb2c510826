"""Suites: read from TOML, validated, and divided into stacks of runs with keys."""
