"""Proves what a decode reports beside its clip: where the time went, and what kind of failure it was.

Planted: storage that is slow by a known amount, and every kind of error a library can raise.
"""

import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avrep.errors import AvrepError, ConfigError, MediaError, ShardError
from avrep.media import decode_pyav
from avrep.media.decode import DecoderName, decode, decode_views
from avrep.media.limits import DecodeLimits
from avrep.media.stage_clock import StageClock
from avrep.media.synth_timing import TimingSpec, write_timing_clip
from avrep.types import Geometry, StageTimes

from .decode_truth import at, write_numbered

SMALL = Geometry(short_side_px=32, rate_hz=8000)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("accounts") / "c.mp4"
    write_timing_clip(path, TimingSpec(num_frames=48, flash_frames=(9,)))
    return path.read_bytes()


class Slow(io.BytesIO):
    """A file whose reads each take a known time more."""

    slept_s = 0.0

    def read(self, size: int | None = -1) -> bytes:
        began_s = time.perf_counter()
        time.sleep(0.002)
        self.slept_s += time.perf_counter() - began_s
        return super().read(size)


class SlowFile(io.BufferedReader):
    """The same, but no `BytesIO`: what a window onto an object store looks like."""

    def __init__(self, content: bytes) -> None:
        self.inner = Slow(content)
        super().__init__(self.inner)

    def read(self, size: int | None = -1) -> bytes:
        return self.inner.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.inner.seek(offset, whence)

    def tell(self) -> int:
        return self.inner.tell()


def test_each_stage_has_its_time_and_together_they_fill_the_call(content: bytes) -> None:
    began_s = time.perf_counter()
    clips = decode_views(content, [at(*np.arange(30) / 30, audio_s=(0.0, 1.5)), at(0.5)], SMALL)
    whole_s = time.perf_counter() - began_s
    spent = clips[0].spent
    assert clips[1].spent == spent
    assert spent.storage_s == 0.0
    assert min(spent.demux_s, spent.decode_s, spent.convert_s) > 0
    assert spent.demux_s + spent.decode_s + spent.convert_s <= whole_s


def test_waiting_for_bytes_is_storage_and_not_demuxing(content: bytes) -> None:
    source = SlowFile(content)
    spent = decode(source, at(0.1, 1.0), SMALL).spent
    assert spent.storage_s >= source.inner.slept_s > 0
    in_memory = decode(Slow(content), at(0.1, 1.0), SMALL).spent
    assert in_memory.storage_s == 0.0
    assert in_memory.demux_s > 0.002


class Counted(io.BytesIO):
    """A file that counts what is read of it."""

    num_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.num_bytes += len(content)
        return content


def test_views_of_unlike_sizes_take_one_pass(content: bytes) -> None:
    views = [at(0.1, 1.0, audio_s=(0.0, 0.5)), at(0.2, 0.9, audio_s=(0.5, 1.0))]
    alike, unlike = Counted(content), Counted(content)
    decode_views(alike, views, SMALL)
    decode_views(unlike, views, [SMALL, Geometry(short_side_px=24, rate_hz=11025)])
    assert unlike.num_bytes == alike.num_bytes > 0


def test_storage_is_taken_out_of_the_container_time_by_hand() -> None:
    clock = StageClock(storage_s=2.0, container_s=5.0, decode_s=7.0, convert_s=11.0)
    assert clock.times() == StageTimes(storage_s=2.0, demux_s=3.0, decode_s=7.0, convert_s=11.0)


@pytest.mark.parametrize("decoder", ["decord", pytest.param("torchcodec", marks=pytest.mark.slow)])
def test_other_decoders_fill_what_they_can(tmp_path: Path, decoder: DecoderName) -> None:
    path = write_numbered(tmp_path / "n.mp4", "libx264", "mp4")
    try:
        spent = decode(path.read_bytes(), at(0.1, 0.9), SMALL, decoder=decoder).spent
    except ConfigError as error:
        pytest.skip(str(error))
    assert min(spent.demux_s, spent.decode_s, spent.convert_s) > 0


def raiser(error: Exception) -> Callable[..., None]:
    def fail(*_args: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "stage", "text"),
    [
        (OverflowError("too big"), "decode", "OverflowError: too big"),
        (AttributeError("no such thing"), "decode", "AttributeError: no such thing"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), "decode", "UnicodeDecodeError: "),
        (ValueError(""), "decode", "ValueError: ValueError"),
        (MemoryError(), "limits", "over the memory limit"),
    ],
)
def test_what_nobody_foresaw_is_the_items_fault(
    content: bytes, monkeypatch: pytest.MonkeyPatch, error: Exception, stage: str, text: str
) -> None:
    monkeypatch.setattr(decode_pyav, "frames_on_display", raiser(error))
    with pytest.raises(MediaError) as caught:
        decode(content, at(0.0), SMALL)
    assert caught.value.stage == stage
    assert caught.value.reason.startswith(text)


@pytest.mark.parametrize(
    "error",
    [
        MediaError("video", "as it was"),
        ConfigError("as it was"),
        ShardError("as it was"),
        OSError("as it was"),
        TimeoutError("as it was"),
    ],
)
def test_what_is_not_the_items_fault_passes_through(content: bytes, error: Exception) -> None:
    class Broken(SlowFile):
        def read(self, size: int | None = -1) -> bytes:
            assert size != 0
            raise error

    with pytest.raises(type(error)) as caught:
        decode(Broken(content), at(0.0), SMALL)
    assert caught.value is error
    assert isinstance(error, AvrepError | OSError)


def test_a_callers_mistake_stays_the_callers() -> None:
    with pytest.raises(ValueError, match="finite"):
        decode(b"", at(float("nan")), SMALL)


@pytest.mark.parametrize(("field", "wrong"), [("deadline_s", 0.0), ("max_memory_bytes", 0)])
def test_limits_have_ranges(field: str, wrong: float) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        DecodeLimits.model_validate({field: wrong})
    assert (DecodeLimits().deadline_s, DecodeLimits().max_memory_bytes) == (60.0, 2 * 1024**3)
