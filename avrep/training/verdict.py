"""What the trainer waits for, said in one word with its share of the time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from avrep.training.step_clock import StepTimes
from avrep.types import StageTimes

# Below this part of the waiting, what the stream says that it spent does not explain it: decode
# actors are starting, or batches are held up on their way from them.
_EXPLAINS = 0.5
# A new bottleneck must lead the one named before by this share, so that near ties do not flicker.
_LEAD = 0.05


class Bottleneck(StrEnum):
    """What takes the time of a step; the first five are kinds of waiting for the stream."""

    STORAGE = "storage"
    DEMUX = "demux"
    DECODE = "decode"
    CONVERSION = "conversion"
    STREAM = "stream"
    """The stream, but none of its stages: actors that start, batches on their way."""
    TRANSFER = "transfer"
    AUGMENTATION = "augmentation"
    COMPUTE = "compute"
    OTHER = "other"
    """Logging, checkpoints and whatever else comes between steps."""

    @property
    def is_waiting(self) -> bool:
        """Whether the trainer stands still for it until its next batch is there."""
        return self in _WAITING


_WAITING = (
    Bottleneck.STORAGE,
    Bottleneck.DEMUX,
    Bottleneck.DECODE,
    Bottleneck.CONVERSION,
    Bottleneck.STREAM,
)
_WORDS = {
    Bottleneck.STREAM: "waiting for the stream",
    Bottleneck.TRANSFER: "transfer-bound",
    Bottleneck.AUGMENTATION: "augmentation-bound",
    Bottleneck.COMPUTE: "compute-bound",
    Bottleneck.OTHER: "busy between steps",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Where the time of some steps went, and which part of it to look at first."""

    bottleneck: Bottleneck
    shares: Mapping[Bottleneck, float]
    """Of the steps' whole time; they sum to 1. Waiting is split among the stages of the stream by
    what each of them spent."""

    @property
    def wait_share(self) -> float:
        """Waiting for the stream, of the steps' whole time."""
        return sum(self.shares[stage] for stage in _WAITING)

    @property
    def words(self) -> str:
        """Few enough for a progress line: `waiting for decode`, `compute-bound`."""
        return _WORDS.get(self.bottleneck, f"waiting for {self.bottleneck}")

    def __str__(self) -> str:
        wait = f"{100 * self.wait_share:.0f} %"
        if self.bottleneck.is_waiting:
            return f"{self.words} {wait}"
        return f"{self.words}, waiting {wait}"


def verdict(
    times: StepTimes, spent: StageTimes, before: Bottleneck | None = None
) -> Verdict | None:
    """Name the bottleneck of some steps.

    If waiting takes the largest share of the time, it is the stage that spent most in the stream,
    or the stream itself where its stages do not add up to half of the waiting (with decode actors
    they add up to at least the waiting, once the actors run). Otherwise it is the largest of
    transfer, augmentation, compute and the rest.

    Args:
        times: sums over the steps.
        spent: what making the steps' batches cost, wherever it was done.
        before: the bottleneck named last, kept while its share is within 0.05 of the largest.

    Returns:
        None where no time was measured.
    """
    parts_s = {
        Bottleneck.STREAM: times.wait_s,
        Bottleneck.TRANSFER: times.transfer_s,
        Bottleneck.AUGMENTATION: times.augment_s,
        Bottleneck.COMPUTE: times.compute_s,
        Bottleneck.OTHER: times.other_s,
    }
    whole_s = sum(parts_s.values())
    if whole_s <= 0:
        return None
    shares = {part: seconds / whole_s for part, seconds in parts_s.items()}
    stages = _stage_shares(times.wait_s, spent)
    split = {stage: share * shares[Bottleneck.STREAM] for stage, share in stages.items()}
    return _judge(shares | split, before)


def overall(verdicts: Sequence[tuple[Verdict, float]]) -> Verdict | None:
    """The verdict over windows of steps that were judged one by one.

    Args:
        verdicts: each with its weight, the seconds that its steps took.

    Returns:
        None where there is none.
    """
    whole_s = sum(seconds for _, seconds in verdicts)
    if whole_s <= 0:
        return None
    shares = {
        part: sum(found.shares[part] * seconds for found, seconds in verdicts) / whole_s
        for part in Bottleneck
    }
    return _judge(shares, None)


def _judge(shares: Mapping[Bottleneck, float], before: Bottleneck | None) -> Verdict:
    """All of waiting is compared with the other parts first, its stages with one another then."""
    wait_share = sum(shares[stage] for stage in _WAITING)
    parts = {part: share for part, share in shares.items() if not part.is_waiting}
    parts[Bottleneck.STREAM] = wait_share
    waiting_before = before is not None and before.is_waiting
    found = _largest(parts, Bottleneck.STREAM if waiting_before else before)
    if found is Bottleneck.STREAM:
        found = _largest({stage: shares[stage] / wait_share for stage in _WAITING}, before)
    return Verdict(bottleneck=found, shares=shares)


def _stage_shares(wait_s: float, spent: StageTimes) -> dict[Bottleneck, float]:
    """How waiting is split among the kinds of it; sums to 1."""
    stages_s = {
        Bottleneck.STORAGE: spent.storage_s,
        Bottleneck.DEMUX: spent.demux_s,
        Bottleneck.DECODE: spent.decode_s,
        Bottleneck.CONVERSION: spent.convert_s,
    }
    whole_s = sum(stages_s.values())
    if whole_s <= 0 or whole_s < _EXPLAINS * wait_s:
        return dict.fromkeys(stages_s, 0.0) | {Bottleneck.STREAM: 1.0}
    return {stage: s / whole_s for stage, s in stages_s.items()} | {Bottleneck.STREAM: 0.0}


def _largest(shares: Mapping[Bottleneck, float], before: Bottleneck | None) -> Bottleneck:
    largest = max(shares, key=lambda kind: shares[kind])
    if before is not None and shares.get(before, -1.0) >= shares[largest] - _LEAD:
        return before
    return largest
