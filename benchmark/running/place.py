"""What `--executor auto` takes: this process, or a process a core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import joblib
import psutil

from ..suite.stack import Stack
from .course import Course
from .executors import Executor, Settings
from .executors.here import Here
from .executors.processes import Processes

START_SECONDS = 10.0
"""What processes take until they train, on an idle machine: torch and the data are loaded in each of them."""
MARGIN = 1.25
"""How many times longer this process must be expected to take: side by side, processes disturb each other."""


@dataclass(frozen=True)
class Place:
    """Where stacks are trained, and what each of them then takes.

    Attributes:
        words: where that is, and what the other place would take, for people to read.
    """

    executor: Executor
    courses: Mapping[Stack, Course]
    words: str = "in this process"


def load() -> float:
    """Threads that wanted a core in the last minute, for each core."""
    return psutil.getloadavg()[0] / joblib.cpu_count()


def faster(courses: Mapping[Stack, Course], settings: Settings, timed_alone: Callable[[Stack], Course | None]) -> Place:
    """Processes where they are expected to be faster by a margin, else this process.

    The largest stack is timed once more, as a worker has it: the worker's share of its runs, with one thread.

    Args:
        courses: what each stack takes in this process; empty if nobody knows.
        timed_alone: the course of a stack that one thread trains; None if its timing fails.
    """
    here, cores = Place(Here(), courses), joblib.cpu_count()
    seconds = sum(course.seconds for course in courses.values())
    if settings.device != "cpu" or cores == 1 or sum(map(len, courses)) < cores:
        return here
    start = START_SECONDS * max(1.0, load())
    if seconds < MARGIN * (start + seconds / cores):  # even if no process took from another
        return here
    largest = max(courses, key=lambda stack: courses[stack].seconds)
    share = largest.divided(cores)[0]
    alone = timed_alone(share)
    if alone is None:
        return here
    pace = alone.seconds * len(largest) / len(share) / courses[largest].seconds  # a worker's seconds for a second here
    side_by_side = start + pace * seconds / cores
    if seconds < MARGIN * side_by_side:
        return here
    return Place(
        Processes(workers=cores),
        {stack: course.at_pace(pace) for stack, course in courses.items()},
        f"in {cores} processes of one thread each, {seconds / side_by_side:.1f} times as fast as in this process",
    )
