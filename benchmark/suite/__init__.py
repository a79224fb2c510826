"""What to run: suites as stacks of runs with keys."""
