"""The engine against plain loops, as a table."""
