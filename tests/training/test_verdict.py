"""The verdict names what a hand-worked account of the time says, and does not flicker."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.training.step_clock import StepTimes
from avrep.training.verdict import Bottleneck, Verdict, verdict
from avrep.types import StageTimes

WAITING = {
    Bottleneck.STORAGE,
    Bottleneck.DEMUX,
    Bottleneck.DECODE,
    Bottleneck.CONVERSION,
    Bottleneck.STREAM,
}


def times(
    wait_s: float = 0, transfer_s: float = 0, augment_s: float = 0, compute_s: float = 0
) -> StepTimes:
    """Of ten steps that took 10 s in all."""
    return StepTimes(
        num_steps=10,
        elapsed_s=10.0,
        wait_s=wait_s,
        transfer_s=transfer_s,
        augment_s=augment_s,
        compute_s=compute_s,
    )


def judged(
    measured: StepTimes, spent: StageTimes | None = None, before: Bottleneck | None = None
) -> Verdict:
    found = verdict(measured, spent or StageTimes(), before)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("measured", "spent", "said"),
    [
        # 6.2 s of waiting; of 20 s in four actors, decode has 12.
        (
            times(wait_s=6.2, compute_s=3.5),
            StageTimes(storage_s=3, demux_s=1, decode_s=12, convert_s=4),
            "waiting for decode 62 %",
        ),
        (
            times(wait_s=6.2, compute_s=3.5),
            StageTimes(storage_s=9, decode_s=8),
            "waiting for storage 62 %",
        ),
        (times(wait_s=9), StageTimes(demux_s=5, decode_s=4), "waiting for demux 90 %"),
        (times(wait_s=9), StageTimes(decode_s=4, convert_s=5), "waiting for conversion 90 %"),
        # Half a second in the stages does not explain nine of waiting.
        (times(wait_s=9), StageTimes(decode_s=0.5), "waiting for the stream 90 %"),
        (times(wait_s=9), StageTimes(), "waiting for the stream 90 %"),
        # However much the actors work, who does not wait for them is not held up by them.
        (
            times(wait_s=0.2, compute_s=9.5),
            StageTimes(decode_s=40),
            "compute-bound, waiting 2 %",
        ),
        (times(wait_s=4, compute_s=4.5), StageTimes(decode_s=4), "compute-bound, waiting 40 %"),
        (times(transfer_s=5, compute_s=4), None, "transfer-bound, waiting 0 %"),
        (times(augment_s=5, compute_s=4), None, "augmentation-bound, waiting 0 %"),
        # 7 s that no part claims.
        (times(wait_s=1, compute_s=2), StageTimes(decode_s=1), "busy between steps, waiting 10 %"),
    ],
)
def test_worked_by_hand(measured: StepTimes, spent: StageTimes | None, said: str) -> None:
    assert str(judged(measured, spent)) == said


def test_waiting_is_the_largest_even_where_its_stages_are_not() -> None:
    """Waiting 6 s of 10 in two equal stages, compute 4 s: each stage alone is less than compute."""
    found = judged(times(wait_s=6, compute_s=4), StageTimes(storage_s=2.9, decode_s=3.1))
    assert found.bottleneck is Bottleneck.DECODE
    assert found.wait_share == pytest.approx(0.6)
    assert found.shares == pytest.approx(
        {
            Bottleneck.STORAGE: 0.29,
            Bottleneck.DEMUX: 0,
            Bottleneck.DECODE: 0.31,
            Bottleneck.CONVERSION: 0,
            Bottleneck.STREAM: 0,
            Bottleneck.TRANSFER: 0,
            Bottleneck.AUGMENTATION: 0,
            Bottleneck.COMPUTE: 0.4,
            Bottleneck.OTHER: 0,
        }
    )


def test_a_near_tie_keeps_what_was_said_before_and_a_lead_does_not() -> None:
    near = times(wait_s=4.8, compute_s=5.2)
    spent = StageTimes(storage_s=4.9, decode_s=5.1)
    assert judged(near, spent).bottleneck is Bottleneck.COMPUTE
    assert judged(near, spent, Bottleneck.DECODE).bottleneck is Bottleneck.DECODE
    assert judged(near, spent, Bottleneck.STORAGE).bottleneck is Bottleneck.STORAGE
    assert judged(near, spent, Bottleneck.COMPUTE).bottleneck is Bottleneck.COMPUTE
    waiting = times(wait_s=5.2, compute_s=4.8)
    assert judged(waiting, spent).bottleneck is Bottleneck.DECODE
    assert judged(waiting, spent, Bottleneck.COMPUTE).bottleneck is Bottleneck.COMPUTE
    clear = times(wait_s=4.7, compute_s=5.3)
    assert judged(clear, spent, Bottleneck.DECODE).bottleneck is Bottleneck.COMPUTE
    stages = StageTimes(storage_s=4, decode_s=6)
    assert judged(times(wait_s=9), stages, Bottleneck.STORAGE).bottleneck is Bottleneck.DECODE


def test_nothing_measured_is_no_verdict() -> None:
    assert verdict(StepTimes(), StageTimes(decode_s=3)) is None


def test_sums_of_steps() -> None:
    total = times(wait_s=1, transfer_s=2, augment_s=3, compute_s=4) + times(wait_s=5)
    assert total == StepTimes(
        num_steps=20, elapsed_s=20, wait_s=6, transfer_s=2, augment_s=3, compute_s=4
    )
    assert total.other_s == 5
    # A GPU's clock and the host's may differ by a little.
    assert times(compute_s=10.001).other_s == 0


seconds = st.floats(0, 1e6)


@given(
    st.builds(
        StepTimes,
        elapsed_s=seconds,
        wait_s=seconds,
        transfer_s=seconds,
        augment_s=seconds,
        compute_s=seconds,
    ),
    st.builds(StageTimes, storage_s=seconds, demux_s=seconds, decode_s=seconds, convert_s=seconds),
    st.none() | st.sampled_from(Bottleneck),
)
def test_shares_are_of_one_whole_and_the_rule_holds(
    measured: StepTimes, spent: StageTimes, before: Bottleneck | None
) -> None:
    found = verdict(measured, spent, before)
    if found is None:
        assert measured == StepTimes()
        return
    assert set(found.shares) == set(Bottleneck)
    assert sum(found.shares.values()) == pytest.approx(1)
    assert min(found.shares.values()) >= 0
    others = {part: share for part, share in found.shares.items() if part not in WAITING}
    top = max(found.wait_share, *others.values())
    share = found.wait_share if found.bottleneck in WAITING else found.shares[found.bottleneck]
    assert share >= top - (0.05 + 1e-9 if before else 1e-9)
    assert found.bottleneck.is_waiting == (found.bottleneck in WAITING)
