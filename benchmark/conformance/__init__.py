"""Laws that every mitigation must satisfy, for rrrbench's own tests and for `rrrbench submit check`."""
