"""Proves that states on disk are those that would be computed, whatever happened before.

Truth: the encoder itself, and counts of how often it was asked.
"""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avrep.evaluation.sound.cached_states import CachedStates, cached_states
from avrep.evaluation.sound.esc50 import Esc50
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.sound_folder import SoundFolder
from avrep.evaluation.sound.states import Crop, fresh_states
from avrep.evaluation.superb.ks import KeywordSpotting
from tests.small_sounds import Moments, recording, tone, write_wav

_ROOM = 1 << 30


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    """Five tones of several lengths, the last shorter than a frame."""
    folder = tmp_path_factory.mktemp("tones")
    lengths_s = (0.1, 0.25, 0.1, 0.05, 0.003)
    return [
        recording(write_wav(folder / f"{number}.wav", tone(300 + 70 * number, length_s)))
        for number, length_s in enumerate(lengths_s)
    ]


def _open(folder: Path, upstream: Moments | None = None, max_bytes: int = _ROOM) -> CachedStates:
    return CachedStates(upstream or Moments(), _halve, folder, max_bytes)


def _halve(wave: Tensor) -> Tensor:
    return wave / 2


def test_they_are_those_computed_rounded(recordings: list[Recording], tmp_path: Path) -> None:
    fresh = fresh_states(Moments(), _halve)(recordings)
    for _ in range(2):
        cached = _open(tmp_path)(recordings)
        assert cached.states.dtype == torch.float16
        assert cached.num_frames.tolist() == fresh.num_frames.tolist() == [16, 40, 16, 8, 1]
        assert torch.equal(cached.states, fresh.states.half())


def test_they_are_computed_once(recordings: list[Recording], tmp_path: Path) -> None:
    upstream, told = Moments(), list[tuple[int, int]]()
    first = _open(tmp_path, upstream)
    first.fill(recordings, lambda *done: told.append(done))
    assert told == [(n, 5) for n in (1, 2, 3, 4, 5)]
    first(recordings)
    _open(tmp_path, upstream).fill(recordings)
    assert upstream.num_heard == 5
    assert first.notes == ()
    # Others read them without the encoder.
    light = first.without_encoder(recordings)
    assert torch.equal(light(recordings).states, first(recordings).states)
    other = replace(recordings[0], start_s=0.05)
    assert first.without_encoder([*recordings, other]) is first
    with pytest.raises(RuntimeError, match="moments was not brought along"):
        light([other])


class _Killed(Exception):
    pass


def test_a_job_that_was_killed_goes_on(recordings: list[Recording], tmp_path: Path) -> None:
    def kill(done: int, _: int) -> None:
        if done == 2:
            raise _Killed

    upstream = Moments()
    with pytest.raises(_Killed):
        _open(tmp_path, upstream).fill(recordings, kill)
    files = sorted(tmp_path.glob("*/*.npy"))
    assert len(files) == 2
    # One was half written by a machine that lost its power; a partial one was never given its name.
    files[0].write_bytes(files[0].read_bytes()[:150])
    (files[0].parent / "left.npy.partial-1").write_bytes(b"half")
    again = _open(tmp_path, upstream)
    again.fill(recordings)
    states = again(recordings).states
    assert torch.equal(states, fresh_states(Moments(), _halve)(recordings).states.half())
    assert upstream.num_heard == 6
    assert len(list(tmp_path.glob("*/*.npy"))) == 5


def test_the_limit_changes_no_number(recordings: list[Recording], tmp_path: Path) -> None:
    whole = _open(tmp_path / "whole")
    states = whole(recordings).states
    sizes = [file.stat().st_size for file in (tmp_path / "whole").glob("*/*.npy")]
    limit = sum(sizes) - 1
    tight = _open(tmp_path / "tight", max_bytes=limit)
    tight.fill(recordings)
    assert sum(file.stat().st_size for file in (tmp_path / "tight").glob("*/*.npy")) <= limit
    assert torch.equal(tight(recordings).states, states)
    (note,) = tight.notes
    assert "hidden states of 1 recordings were computed each time" in note
    none = _open(tmp_path / "none", max_bytes=0)
    none.fill(recordings)
    assert "of 5 recordings" in none.notes[0]
    assert torch.equal(none(recordings).states, states)
    assert not list((tmp_path / "none").glob("*/*"))


def test_a_crop_is_of_frames(recordings: list[Recording], tmp_path: Path) -> None:
    cached = _open(tmp_path)
    whole = cached(recordings)
    cut = cached(recordings, Crop(num_samples=1_000, places=(0.0, 0.999, 0.5, 0.5, 0.5)))
    assert cut.num_frames.tolist() == [10, 10, 10, 8, 1]
    for row, (start, end) in enumerate([(0, 10), (30, 40), (3, 13), (0, 8), (0, 1)]):
        own = cut.states[:, row, : end - start]
        assert torch.equal(own, whole.states[:, row, start:end])


def test_a_file_that_changed_is_heard_again(tmp_path: Path) -> None:
    upstream, path = Moments(), tmp_path / "a.wav"
    one = recording(write_wav(path, tone(300)))
    cached = _open(tmp_path / "states", upstream)
    before = cached([one]).states
    write_wav(path, tone(400))
    os.utime(path, ns=(0, 0))
    assert not torch.equal(cached([one]).states, before)
    assert upstream.num_heard == 2


def test_what_is_too_large_for_float16_is_kept_as_it_is(
    recordings: list[Recording], tmp_path: Path
) -> None:
    large = Moments(1e6)
    cached = _open(tmp_path, large)(recordings)
    assert cached.states.dtype == torch.float32
    assert torch.equal(cached.states, fresh_states(large, _halve)(recordings).states)
    assert {np.load(file).dtype for file in tmp_path.glob("*/*.npy")} == {np.dtype(np.float32)}


def test_encoders_and_preparations_have_folders_of_their_own(
    recordings: list[Recording], tmp_path: Path
) -> None:
    def folders() -> int:
        return len(list((tmp_path / "states").iterdir()))

    for upstream in (Moments(), Moments(2.0)):
        # Two that leave recordings as they are share theirs; keywords are made quieter.
        for task in (Esc50(), SoundFolder(), KeywordSpotting()):
            cached_states(upstream, task, tmp_path)(recordings[:1])
    assert folders() == 4


def test_a_full_disk_is_named_and_leaves_nothing(
    recordings: list[Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("11520 requested and 8128 written")

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", full)
        with pytest.raises(OSError, match=f"hidden states cannot be written to {tmp_path}: 11520"):
            _open(tmp_path).fill(recordings)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    _open(tmp_path).fill(recordings)
