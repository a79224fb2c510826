"""Records to rankings and verdicts."""
