"""Where stacks are trained: in this process, in processes of this machine, or on a Ray cluster."""

from . import explaining as explaining  # registers how explanations are run
from .base import DigestMismatch, Result, Settings, Task, check_digest, run_stack
from .executor import Executor, executors

__all__ = ["DigestMismatch", "Executor", "Result", "Settings", "Task", "check_digest", "executors", "run_stack"]
