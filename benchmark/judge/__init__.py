"""Judges a network that somebody trained: where it looks, and whether it follows the shortcut."""

from .evaluation import evaluate as evaluate
from .network import NotJudged as NotJudged
from .report import Report as Report
