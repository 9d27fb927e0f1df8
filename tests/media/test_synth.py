"""Proves the corpus on disk: the same bytes for the same seed, tables that agree with the decoded
files, strikes seen when they are heard, and no folder taken that holds something else.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.errors import ConfigError
from avrep.media import synth
from avrep.media.frame_code import read_frame_number
from avrep.media.synth import flash_beep_spec, write_corpus
from avrep.media.synth_motion import strikes_s
from avrep.media.synth_picture import render_frames
from avrep.media.synth_scene import SynthConfig, scene
from avrep.media.synth_sound import beep, render_sound
from avrep.media.synth_timing import timing_truth
from avrep.media.synth_write import write_video

SMALL = SynthConfig(
    seed=11, num_videos=8, num_flash_beep=2, num_speech=2, duration_s=1.5, height_px=64, width_px=96
)
NUM_FILES = 12


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"), SMALL)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def picture(path: Path) -> tuple[list[Fraction], np.ndarray]:
    with av.open(path, "r") as container:
        frames = list(container.decode(video=0))
    times_s = [Fraction(frame.pts or 0) * Fraction(frame.time_base or 1) for frame in frames]
    return times_s, np.stack([np.asarray(f.to_ndarray(format="rgb24"), np.uint8) for f in frames])


def sound(path: Path) -> np.ndarray:
    with av.open(path, "r") as container:
        frames = list(container.decode(audio=0))
    assert frames[0].pts == 0
    samples = np.concatenate([np.asarray(frame.to_ndarray(), np.float64)[0] for frame in frames])
    return samples / 32767 if frames[0].format.name == "s16" else samples


def test_two_runs_in_different_processes_give_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    assert hashes(write_corpus(tmp_path / "again", SMALL, num_workers=2)) == hashes(corpus)
    other = write_corpus(tmp_path / "other", SMALL.model_copy(update={"seed": 12}))
    same = set(hashes(other).items()) & set(hashes(corpus).items())
    assert {path for path, _ in same} == {"README.txt"}


def test_the_layout_is_the_one_described(corpus: Path) -> None:
    found = hashes(corpus)
    media = {path for path in found if "/" in path}
    assert len(media) == NUM_FILES
    assert media == {row["path"] for row in rows(corpus / "labels.csv")}
    assert set(found) - media == {
        "README.txt",
        "labels.csv",
        "timing.csv",
        "segments.csv",
        "synth.json",
    }
    assert Counter(path.split("/")[0] for path in media) == {"videos": 8, "timing": 2, "speech": 2}


def test_labels_are_those_of_the_scenes(corpus: Path) -> None:
    for row in rows(corpus / "labels.csv"):
        folder, *_, name = row["path"].split("/")
        labels = {key: value for key, value in row.items() if key != "path"}
        if folder == "videos":
            drawn = scene(SMALL, int(name.removesuffix(".mp4")))
            assert labels == {key: getattr(drawn, key) for key in labels}
            assert row["path"].split("/")[1] == drawn.split
        else:
            assert set(labels.values()) == {""}


def test_every_decoded_frame_shows_its_number_at_its_time(corpus: Path) -> None:
    for path in sorted(corpus.rglob("*.mp4")):
        times_s, frames = picture(path)
        assert [read_frame_number(frame) for frame in frames] == list(range(36)), path
        assert times_s == [Fraction(number, 24) for number in range(36)]
        assert frames.shape[1:] == (64, 96, 3)


def test_flashes_and_beeps_are_where_the_table_says(corpus: Path) -> None:
    table = rows(corpus / "timing.csv")
    assert {row["path"] for row in table} == {"timing/00000.mp4", "timing/00001.mp4"}
    for path in {row["path"] for row in table}:
        mine = [row for row in table if row["path"] == path]
        times_s, frames = picture(corpus / path)
        white = np.flatnonzero(frames[:, 12:].mean(axis=(1, 2, 3)) > 200)
        assert white.tolist() == [int(row["flash_frame"]) for row in mine]
        assert [times_s[number] for number in white] == [Fraction(row["flash_s"]) for row in mine]
        match = np.correlate(sound(corpus / path), beep(SMALL.rate_hz), "valid")
        for row in mine:
            start = int(row["beep_sample"])
            low = max(0, start - 3000)
            assert low + np.argmax(match[low : start + 3000]) == start
            assert Fraction(row["beep_s"]) == Fraction(row["flash_s"])
            assert Fraction(start, SMALL.rate_hz) == Fraction(row["beep_s"])


@pytest.mark.parametrize(
    ("fps", "rate_hz", "num_different"),
    [
        (24, 16000, 10),
        (25, 8000, 10),
        (30, 44100, 10),
        (60, 48000, 10),
        # Few frames begin on a sample here, so there is little to choose from.
        (7, 16000, 1),
        (23, 22050, 1),
    ],
)
def test_flashes_are_spread_and_on_whole_samples(
    fps: int, rate_hz: int, num_different: int
) -> None:
    config = SynthConfig.model_validate({"fps": fps, "rate_hz": rate_hz, "duration_s": 6.0})
    drawn = [flash_beep_spec(config, index).flash_frames for index in range(20)]
    for frames in drawn:
        assert len(frames) >= 2
        assert all((frame * rate_hz) % fps == 0 for frame in frames)
        assert min(np.diff(frames)) >= 0.3 * fps
        assert frames[0] > 0
        assert frames[-1] < 6 * fps - 1
    assert len(set(drawn)) >= num_different


@given(
    fps=st.integers(5, 60),
    rate_hz=st.sampled_from([8000, 16000, 22050, 24000, 32000, 44100, 48000]),
    duration_s=st.floats(1.0, 20.0),
    index=st.integers(0, 999),
)
def test_every_timing_clip_has_beeps_that_fit(
    fps: int, rate_hz: int, duration_s: float, index: int
) -> None:
    config = SynthConfig.model_validate({"fps": fps, "rate_hz": rate_hz, "duration_s": duration_s})
    spec = flash_beep_spec(config, index)
    truth = timing_truth(spec)
    assert len(truth.flash_s) >= 1
    assert list(spec.flash_frames) == sorted(set(spec.flash_frames))
    assert truth.beep_s[-1] + Fraction(1, 50) <= truth.end_s
    # Neighbours stay apart, so that one beep is not taken for another.
    assert min(np.diff([float(time_s) for time_s in truth.beep_s]), default=1.0) > 0.2


def test_strikes_are_seen_when_they_are_heard(tmp_path: Path) -> None:
    config = SynthConfig()
    drawn = [scene(config, index) for index in range(48)]
    for item in [item for item in drawn if item.motion == "bounce"][:3]:
        path = tmp_path / f"{item.index}.mp4"
        write_video(
            path,
            render_frames(item),
            render_sound(item),
            frame_ticks=range(item.num_frames),
            tick_s=Fraction(1, item.fps),
            rate_hz=item.rate_hz,
        )
        _, frames = picture(path)
        changed = abs(frames.astype(int) - np.median(frames, axis=0)).max(axis=3) > 60
        changed[:, :12, :32] = False
        lowest = np.array([np.flatnonzero(rows).max() for rows in changed.any(axis=2)])
        inner = lowest[1:-1]
        turned = (inner >= lowest[:-2]) & (inner > lowest[2:]) & (inner > 0.7 * item.height_px)
        seen_s = (np.flatnonzero(turned) + 1) / config.fps
        heard_s = clicks_s(sound(path), config.rate_hz)
        heard_s = heard_s[(heard_s > 0.1) & (heard_s < 2.9)]
        seen_s = seen_s[(seen_s > 0.1 - 1 / 24) & (seen_s < 2.9 + 1 / 24)]
        assert heard_s.size >= 3
        assert all(min(abs(seen_s - time_s)) <= 1 / config.fps for time_s in heard_s)
        assert all(min(abs(heard_s - time_s)) <= 1 / config.fps for time_s in seen_s[1:-1])
        told_s = [time_s for time_s in strikes_s(item) if 0.1 < time_s < 2.9]
        assert heard_s == pytest.approx(told_s, abs=0.001)


def clicks_s(heard: np.ndarray, rate_hz: int) -> np.ndarray:
    jumps = np.flatnonzero(abs(np.diff(heard)) > 0.2)
    return jumps[np.diff(jumps, prepend=-rate_hz) > rate_hz // 10] / rate_hz


def test_speech_is_pcm_and_its_segments_sound(corpus: Path) -> None:
    table = rows(corpus / "segments.csv")
    for path in ("speech/00000.wav", "speech/00001.wav"):
        with av.open(corpus / path, "r") as container:
            stream = container.streams.audio[0]
            assert (stream.codec.name, stream.rate, stream.channels) == ("pcm_s16le", 16000, 1)
        heard = sound(corpus / path)
        assert heard.shape == (24000,)
        speaking = np.zeros(heard.size, bool)
        mine = [row for row in table if row["path"] == path]
        assert mine
        for row in mine:
            bounds = [float(row[key]) * SMALL.rate_hz for key in ("start_s", "end_s")]
            assert bounds == pytest.approx(np.rint(bounds), abs=1e-6)
            start, end = np.rint(bounds).astype(int)
            speaking[start:end] = True
            assert heard[start:end].std() > 0.03
        assert heard[~speaking].std() < 0.001


def test_an_interrupted_run_is_finished_and_nothing_is_written_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corpus: Path
) -> None:
    written: list[str] = []

    def failing(path: Path, frames: Iterator[np.ndarray], sound: np.ndarray, **form: Any) -> None:
        written.append(path.name)
        write_video(path, _cut(frames) if len(written) == 4 else frames, sound, **form)

    out = tmp_path / "out"
    monkeypatch.setattr(synth, "write_video", failing)
    with pytest.raises(OSError, match="power cut"):
        write_corpus(out, SMALL)
    left = hashes(out)
    assert len([path for path in left if path.endswith(".mp4")]) == 3
    assert not [path for path in left if path.endswith(".part")]

    calls: list[tuple[int, int]] = []
    write_corpus(out, SMALL, progress=lambda done, total: calls.append((done, total)))
    assert hashes(out) == hashes(corpus)
    assert len(written) == len(set(written)) + 1
    assert calls == [(done, NUM_FILES) for done in range(1, NUM_FILES + 1)]


def _cut(frames: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    yield next(frames)
    raise OSError("power cut")


def test_folders_of_other_things_are_refused_untouched(tmp_path: Path, corpus: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ConfigError, match="not empty"):
        write_corpus(tmp_path, SMALL)
    assert hashes(tmp_path).keys() == {"thesis.txt"}
    with pytest.raises(ConfigError, match="is a file"):
        write_corpus(tmp_path / "thesis.txt", SMALL)
    before = hashes(corpus)
    with pytest.raises(ConfigError, match="other settings"):
        write_corpus(corpus, SMALL.model_copy(update={"fps": 25}))
    assert hashes(corpus) == before
    with pytest.raises(ConfigError, match="num_workers"):
        write_corpus(tmp_path / "new", SMALL, num_workers=0)
    assert not (tmp_path / "new").exists()
