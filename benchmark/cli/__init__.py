"""The command line: one file a command group."""

from .app import app

__all__ = ["app"]
