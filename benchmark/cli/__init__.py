"""The command line: one file a command group."""

from .main import app

__all__ = ["app"]
