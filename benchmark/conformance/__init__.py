"""What every mitigation must satisfy, as rrrbench's own tests and `rrrbench submit check` ask it."""
