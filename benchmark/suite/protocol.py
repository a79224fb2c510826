"""The version of the protocol that RULES.md states: part of every run key."""

PROTOCOL_VERSION = "2.0"
