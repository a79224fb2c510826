"""What running a stack is expected to take, stage after stage: the unit of the progress bar is this second."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..engine.rehearsal import Stage

Progress = Callable[[float], object]


@dataclass(frozen=True)
class Course:
    """The expected course of a stack.

    Attributes:
        stages: the trainings; empty for runs that are not trained.
        after: seconds after training: evaluation, the picture, the records.
    """

    stages: tuple[Stage, ...] = ()
    after: float = 0.0

    @property
    def seconds(self) -> float:
        return self.after + sum(stage.seconds for stage in self.stages)

    def seconds_at(self, epochs: float) -> float:
        """Seconds that are over once so many epochs of the stack's runs are trained."""
        over = 0.0
        for stage in self.stages:
            share = min(1.0, epochs / stage.epochs) if stage.epochs else 1.0
            over += max(0.0, share) * stage.seconds
            epochs -= stage.epochs
        return over

    def part(self, share: float) -> Course:
        """The course of a share of the stack's runs."""
        stages = tuple(Stage(round(share * stage.epochs), share * stage.seconds) for stage in self.stages)
        return replace(self, stages=stages, after=share * self.after)

    def at_pace(self, pace: float) -> Course:
        """The course of the same runs where a second of this course takes `pace` seconds."""
        stages = tuple(Stage(stage.epochs, pace * stage.seconds) for stage in self.stages)
        return replace(self, stages=stages, after=pace * self.after)


class Meter:
    """Tells progress in a course's seconds while epochs are counted."""

    def __init__(self, course: Course, progress: Progress) -> None:
        self.course, self.progress = course, progress
        self._epochs, self._told = 0.0, 0.0

    def add(self, epochs: float) -> None:
        """Counts epochs that were trained; a negative number for epochs that are trained anew."""
        self._epochs += epochs
        self._tell(self.course.seconds_at(self._epochs))

    def finish(self) -> None:
        """The stack is done, whatever was counted."""
        self._tell(self.course.seconds)

    def _tell(self, seconds: float) -> None:
        self.progress(seconds - self._told)
        self._told = seconds
