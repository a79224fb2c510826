"""The version of the protocol that RULES.md states: part of every run key."""

PROTOCOL_VERSION = "2.0"
PROTOCOLS = ("1.0", PROTOCOL_VERSION)
"""The versions whose records are read."""
