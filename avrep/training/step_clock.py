"""Where a step's time goes, measured in the trainer without making the device wait."""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, Literal, Protocol, TypeVar

Instant = TypeVar("Instant")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Wall-clock seconds of one rank's steps, by what the rank did in them."""

    num_steps: int = 0
    """How many steps these are the sums of."""
    elapsed_s: float = 0.0
    """From the end of the step before to the end of the step."""
    wait_s: float = 0.0
    """Waiting for the stream; without decode actors this is the decoding itself."""
    transfer_s: float = 0.0
    """From the host's memory to the device's, as far as the step waited for it."""
    augment_s: float = 0.0
    compute_s: float = 0.0
    """Forward, backward, optimizer, and what the objective does after a step. With several ranks,
    waiting for the slowest is in it."""

    @property
    def other_s(self) -> float:
        """The rest: logging, checkpoints, measures of collapse."""
        known_s = self.wait_s + self.transfer_s + self.augment_s + self.compute_s
        return max(0.0, self.elapsed_s - known_s)

    def __add__(self, other: "StepTimes") -> "StepTimes":
        return StepTimes(
            num_steps=self.num_steps + other.num_steps,
            elapsed_s=self.elapsed_s + other.elapsed_s,
            wait_s=self.wait_s + other.wait_s,
            transfer_s=self.transfer_s + other.transfer_s,
            augment_s=self.augment_s + other.augment_s,
            compute_s=self.compute_s + other.compute_s,
        )


class Timer(Protocol[Instant]):
    """Instants of a device's own time; see `avrep.training.timers`."""

    def now(self) -> Instant:
        """The instant at which the device gets to here."""
        ...

    def passed(self, instant: Instant, /) -> bool:
        """Whether the device got there already."""
        ...

    def wait_for(self, instant: Instant, /) -> None: ...

    def between_s(self, first: Instant, last: Instant, /) -> float:
        """Seconds between two instants that have passed."""
        ...


class StepClock(Generic[Instant]):
    """Measures steps one after the other: `start`, a `lap` at the end of each part, `finish`.

    A device that runs behind the host is not waited for: a step that it has not ended yet is told
    of together with a later one.
    """

    def __init__(self, timer: Timer[Instant]) -> None:
        self._timer = timer
        self._marks: list[tuple[str, Instant]] = []
        self._unread: deque[tuple[float, float, list[tuple[str, Instant]]]] = deque()

    def start(self) -> None:
        """The step's batch is there."""
        self._marks = [("start", self._timer.now())]

    def lap(self, part: Literal["transfer", "augment", "compute"]) -> None:
        """What was done since the lap before, or the start, was this part."""
        self._marks.append((part, self._timer.now()))

    def finish(self, wait_s: float, elapsed_s: float, *, complete: bool = False) -> StepTimes:
        """End the step.

        Args:
            wait_s: the host's seconds of waiting for the step's batch, before `start`.
            elapsed_s: the host's seconds since the step before ended.
            complete: wait for the device, so that no step is left to be told of later.

        Returns:
            The sums over the steps that the device has ended and that were not told of before.
        """
        self._unread.append((wait_s, elapsed_s, self._marks))
        if complete:
            self._timer.wait_for(self._marks[-1][1])
        times = StepTimes()
        while self._unread and self._timer.passed(self._unread[0][2][-1][1]):
            times += self._read(*self._unread.popleft())
        return times

    def _read(self, wait_s: float, elapsed_s: float, marks: list[tuple[str, Instant]]) -> StepTimes:
        spent_s = {"transfer": 0.0, "augment": 0.0, "compute": 0.0}
        for (_, before), (part, instant) in pairwise(marks):
            spent_s[part] += self._timer.between_s(before, instant)
        return StepTimes(
            num_steps=1,
            elapsed_s=elapsed_s,
            wait_s=wait_s,
            transfer_s=spent_s["transfer"],
            augment_s=spent_s["augment"],
            compute_s=spent_s["compute"],
        )
