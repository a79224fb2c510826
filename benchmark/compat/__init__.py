"""The interfaces of the systems that rrrbench succeeds, over its own methods."""
