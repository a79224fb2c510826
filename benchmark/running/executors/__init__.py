"""Where stacks are trained: in this process, in processes of this machine, or on a Ray cluster."""

from . import explaining as explaining  # registers how explanations are run
from .base import DigestMismatch, Executor, Result, Settings, Task, check_digest, run_stack

__all__ = ["DigestMismatch", "Executor", "Result", "Settings", "Task", "check_digest", "run_stack"]
