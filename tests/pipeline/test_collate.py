"""Clips of unlike size stack without touching one another's pixels."""

from dataclasses import fields

import numpy as np
import pytest

from avrep.pipeline.collate import Joiner, collate
from avrep.types import Address, Batch, Clip, Failure, StageTimes, View


def make_clip(height: int, width: int, value: int, *, audio: bool = False, rate: int = 0) -> Clip:
    return Clip(
        video=np.full((2, height, width, 3), value, np.uint8),
        pts_s=np.array([0.5, 1.0]),
        audio=np.full(10, value / 255, np.float32) if audio else None,
        audio_start_s=value / 10,
        first_frame_s=0.5 + value / 1000,
        rate_hz=rate,
    )


def test_frames_are_padded_below_and_right_with_zeros() -> None:
    view = collate([make_clip(4, 6, 7), make_clip(5, 3, 9)])
    assert view.video is not None
    assert view.video.shape == (2, 2, 5, 6, 3)
    assert view.size_px.tolist() == [[4, 6], [5, 3]]
    assert (view.video[0, :, :4, :6] == 7).all()
    assert (view.video[1, :, :5, :3] == 9).all()
    assert view.video.sum() == 2 * 3 * (4 * 6 * 7 + 5 * 3 * 9)
    assert view.pts_s.tolist() == [[0.5, 1.0], [0.5, 1.0]]
    assert view.first_frame_s is not None
    assert view.first_frame_s.tolist() == [0.507, 0.509]


def test_sound_keeps_its_start_and_rate() -> None:
    view = collate([make_clip(2, 2, v, audio=True, rate=8000) for v in (10, 20)])
    assert view.audio is not None
    assert view.audio.shape == (2, 10)
    assert view.audio_start_s is not None
    assert view.audio_start_s.tolist() == [1.0, 2.0]
    assert view.rate_hz == 8000


def test_clips_of_unlike_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="some clips of the view"):
        collate([make_clip(2, 2, 1), make_clip(2, 2, 1, audio=True)])
    with pytest.raises(ValueError, match="several rates"):
        collate([make_clip(2, 2, 1, rate=8000), make_clip(2, 2, 1, rate=16000)])


def make_sound(length: int, value: float) -> Clip:
    return Clip(
        video=None, pts_s=np.zeros(0), audio=np.full(length, value, np.float32), rate_hz=8000
    )


def test_short_sounds_are_followed_by_silence() -> None:
    view = collate([make_sound(3, 0.5), make_sound(5, 0.25)])
    assert view.audio is not None
    assert view.audio.tolist() == [[0.5, 0.5, 0.5, 0, 0], [0.25] * 5]
    assert view.num_samples is not None
    assert view.num_samples.tolist() == [3, 5]
    assert view.first_frame_s is None


def test_sounds_of_parts_are_padded_to_the_longest_of_all() -> None:
    joiner = Joiner(3)
    for number, lengths in enumerate([(3, 2), (4,)]):
        views = (collate([make_sound(length, 0.5) for length in lengths]),)
        addresses = tuple(Address(number, i) for i in range(len(lengths)))
        joiner.add(Batch(step=0, addresses=addresses, keys=("",) * len(lengths), views=views))
    view = joiner.batch().views[0]
    assert view.audio is not None
    assert view.audio.tolist() == [[0.5, 0.5, 0.5, 0], [0.5, 0.5, 0, 0], [0.5] * 4]
    assert view.num_samples is not None
    assert view.num_samples.tolist() == [3, 2, 4]


def make_part(sizes: list[tuple[int, int]], first: int) -> Batch:
    clips = [make_clip(h, w, first + i, audio=True) for i, (h, w) in enumerate(sizes)]
    return Batch(
        step=5,
        addresses=tuple(Address(0, first + i) for i in range(len(sizes))),
        keys=tuple(str(first + i) for i in range(len(sizes))),
        views=(collate(clips),) if clips else (),
        labels=({},) * len(sizes),
        failures=(Failure(address=Address(0, first), key="x", stage="open", reason="bad"),),
        num_bad_packets=2,
        spent=StageTimes(decode_s=0.5),
    )


def test_parts_become_the_batch_that_was_cut() -> None:
    """Padding grows to the largest frame of all parts; every pixel is where it would have been."""
    sizes = [(4, 6), (5, 3), (2, 9), (3, 3)]
    whole = make_part(sizes, 10)
    joiner = Joiner(6)
    for part in (make_part(sizes[:1], 10), make_part([], 0), make_part(sizes[1:], 11)):
        joiner.add(part)
    joined = joiner.batch()
    assert joined.addresses == whole.addresses
    assert joined.keys == whole.keys
    for name in (field.name for field in fields(View)):
        ours, theirs = getattr(joined.views[0], name), getattr(whole.views[0], name)
        np.testing.assert_array_equal(ours, theirs)
    assert joined.num_bad_packets == 6
    assert joined.spent == StageTimes(decode_s=1.5)
    assert [failure.address.item for failure in joined.failures] == [10, 0, 11]


def test_a_joined_part_can_be_let_go() -> None:
    part = make_part([(4, 6)], 7)
    joiner = Joiner(1)
    joiner.add(part)
    for array in (part.views[0].video, part.views[0].audio, part.views[0].pts_s):
        assert array is not None
        array[:] = 0
    view = joiner.batch().views[0]
    for array in (view.video, view.audio, view.pts_s):
        assert array is not None
        assert array.all()


def test_parts_of_unlike_kind_are_refused() -> None:
    part = make_part([(4, 4)], 0)
    silent = Batch(
        step=5, addresses=(Address(0, 9),), keys=("9",), views=(collate([make_clip(4, 4, 1)]),)
    )
    joiner = Joiner(2)
    joiner.add(part)
    with pytest.raises(ValueError, match="others are View"):
        joiner.add(silent)
