"""Proves what a few packets tell of those to come, and the two guards on leaving one out.

Truth: the whole list of packets, looked through one by one. Packets here are bare stamps in orders
that no encoder would make on purpose.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.media import decode_run
from avrep.media.decode_run import DecodeRun
from avrep.media.packets_ahead import PacketsAhead


@dataclass(slots=True, kw_only=True)
class Stamp:
    """As much of a packet as is looked at before it is decoded."""

    pts: int | None
    dts: int | None = None
    duration: int = 1
    is_keyframe: bool = False
    is_discard: bool = False
    is_corrupt: bool = False
    is_spare: bool = False


def stream(name: str = "matroska,webm", reorder_depth: int = 16) -> Any:
    return SimpleNamespace(
        container=SimpleNamespace(format=SimpleNamespace(name=name)),
        codec_context=SimpleNamespace(name="h264", reorder_depth=reorder_depth),
        start_time=0,
        average_rate=Fraction(25),
        guessed_rate=None,
        time_base=Fraction(1, 25),
    )


def ahead(packets: Sequence[Stamp], name: str = "matroska,webm") -> PacketsAhead:
    source: Any = iter(packets)
    return PacketsAhead(source, stream(name))


@st.composite
def orders(draw: st.DrawFn) -> list[Stamp]:
    """Packets in an order in which at most 16 come before one that is shown before them."""
    num_groups = draw(st.integers(1, 4))
    starts: list[int] = []
    for group in range(num_groups):
        size = draw(st.integers(1, 17))
        starts += draw(st.permutations([group * 40 + 2 * number for number in range(size)]))
    return [
        Stamp(pts=ticks, dts=index - 20, is_discard=draw(st.integers(0, 9)) == 0)
        for index, ticks in enumerate(starts)
    ]


@settings(deadline=None)
@given(packets=orders(), num_taken=st.integers(0, 40), ticks=st.integers(-5, 170))
def test_nothing_that_matters_is_overlooked(
    packets: list[Stamp], num_taken: int, ticks: int
) -> None:
    queue = ahead(packets)
    taken = [queue.take() for _ in range(num_taken)]
    assert [t.packet for t in taken if t] == packets[:num_taken]
    left = [p.pts for p in packets[num_taken:] if not p.is_discard and p.pts is not None]
    assert queue.may_start_by(ticks) == any(pts <= ticks for pts in left)
    seen = [p.pts for p in packets[:num_taken] if not p.is_discard and p.pts is not None]
    assert queue.first_start == min(seen, default=None)
    assert queue.num_overtaken_by(ticks) == sum(pts > ticks for pts in seen[-32:])
    later = [p.pts for p in packets if not p.is_discard and p.pts is not None and p.pts > ticks]
    end = queue.display_end(ticks)
    assert end is None or (end in later and end >= min(later))


@settings(deadline=None)
@given(packets=orders(), ticks=st.integers(-5, 170))
def test_with_all_read_the_frame_on_display_is_known(packets: list[Stamp], ticks: int) -> None:
    queue = ahead(packets)
    while queue.take():
        pass
    starts = [p.pts for p in packets if not p.is_discard and p.pts is not None]
    assert queue.last_start_by(ticks) == max([s for s in starts if s <= ticks], default=None)
    assert queue.display_end(ticks) == min([s for s in starts if s > ticks], default=None)


def test_a_stated_decoding_time_ends_the_search_and_a_reckoned_one_does_not() -> None:
    packets = [Stamp(pts=9, dts=9), Stamp(pts=1, dts=1)]
    assert not ahead(packets, "mov,mp4,m4a,3gp,3g2,mj2").may_start_by(5)
    assert ahead(packets).may_start_by(5)


def test_a_packet_without_a_time_is_told_of() -> None:
    queue = ahead([Stamp(pts=0, dts=0), Stamp(pts=None, dts=1)])
    queue.take()
    assert queue.has_all_times
    queue.take()
    assert not queue.has_all_times


def fed(
    monkeypatch: pytest.MonkeyPatch, packets: Sequence[Stamp], wanted: list[int], depth: int = 16
) -> list[int | None]:
    """Time stamps of the packets that a run hands to its decoder, which gives no frames."""
    handed: list[int | None] = []
    media: Any = SimpleNamespace(
        packets=lambda _stream: iter(packets),
        decode_video=lambda packet: handed.append(packet.pts) or [],
        drain=lambda _stream: [],
        num_bad_packets=0,
        num_spared_packets=0,
    )
    monkeypatch.setattr(decode_run, "disposable_test", lambda _stream: lambda p: p.is_spare)
    run = DecodeRun(
        media, stream(reorder_depth=depth), begun_at=None, wanted=wanted, is_planned=True
    )
    assert run.next_frame(0, 10**6) is None
    assert len(handed) + media.num_spared_packets == len(packets)
    return handed


KEY, NEXT = Stamp(pts=10, is_keyframe=True), Stamp(pts=20)


def test_the_first_frame_to_be_shown_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    leading = Stamp(pts=5, is_spare=True)
    assert fed(monkeypatch, [KEY, leading, NEXT], [0, 15]) == [10, 5, 20]
    # One behind it may go.
    second = Stamp(pts=7, is_spare=True)
    assert fed(monkeypatch, [KEY, leading, second, NEXT], [0, 15]) == [10, 5, 20]


def test_a_decoder_is_let_learn_how_long_to_hold_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    middle, spare = Stamp(pts=14), Stamp(pts=12, is_spare=True)
    packets = [KEY, NEXT, middle, spare]
    assert fed(monkeypatch, packets, [10], depth=1) == [10, 20, 14, 12]
    assert fed(monkeypatch, packets, [10], depth=2) == [10, 20, 14]


@pytest.mark.parametrize("wanted", range(11, 21))
def test_a_frame_is_kept_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch, wanted: int) -> None:
    spare = [Stamp(pts=ticks, is_spare=True) for ticks in (12, 15)]
    kept = [12] if 12 <= wanted < 15 else [15] if 15 <= wanted < 20 else []
    assert fed(monkeypatch, [KEY, NEXT, *spare], [wanted]) == [10, 20, *kept]


@pytest.mark.parametrize(
    "kind",
    [{"is_keyframe": True}, {"is_discard": True}, {"is_corrupt": True}],
    ids=lambda kind: next(iter(kind)),
)
def test_doubtful_packets_are_decoded(
    monkeypatch: pytest.MonkeyPatch, kind: dict[str, bool]
) -> None:
    doubtful = Stamp(pts=15, is_spare=True, **kind)
    assert fed(monkeypatch, [KEY, doubtful, NEXT], [10]) == [10, 15, 20]


def test_the_last_frame_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fed(monkeypatch, [KEY, Stamp(pts=15, is_spare=True)], [0]) == [10, 15]
