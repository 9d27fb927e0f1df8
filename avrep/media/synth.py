"""The synthetic corpus on disk: labelled videos, timing clips, speech, and the tables of truth.

OUT/videos/{train,test}/NNNNN.mp4, OUT/timing/NNNNN.mp4 and OUT/speech/NNNNN.wav, with labels.csv,
timing.csv, segments.csv and README.txt. Every file is a pure function of the config, and whole or
absent, so an interrupted run is finished by running it again.
"""

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from avrep.errors import ConfigError
from avrep.media.synth_picture import render_frames
from avrep.media.synth_scene import Draw, SynthConfig, scene
from avrep.media.synth_sound import render_sound
from avrep.media.synth_speech import render_speech, utterance
from avrep.media.synth_timing import TimingSpec, timing_truth, write_timing_clip
from avrep.media.synth_write import finished, require_encoders, write_video, write_wav
from avrep.rng import Stage, at
from avrep.types import Address

LABEL_COLUMNS = ("path", "split", "shape", "texture", "motion", "speed", "background", "colour")
TIMING_COLUMNS = ("path", "flash_frame", "flash_s", "beep_sample", "beep_s")
SEGMENT_COLUMNS = ("path", "start_s", "end_s", "label")

_MARK = "synth.json"
_LAYOUT = 1

_README = """\
A synthetic corpus, written by avrep from the settings in synth.json; the same settings write the
same files again.

videos/{train,test}   labelled videos, H.264 and AAC: a moving shape, its sound bound to its motion
timing                flash-and-beep clips: one white frame, and a beep from its first instant on
speech                speech-like recordings, 16 bit WAV
labels.csv            path, split and labels of every file (empty where a label does not apply)
timing.csv            flashes and beeps; times are exact fractions of a second
segments.csv          sounds of the speech files in seconds; between them is pause

Every frame of every video carries its number in its top left corner, see avrep/media/frame_code.py.
Labels are independent of one another and of background, colour and split.
"""


def write_corpus(
    out: Path,
    config: SynthConfig,
    *,
    num_workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write the corpus into `out`, in parallel processes when `num_workers` is above 1.

    Files that an earlier run of the same config finished are kept.

    Args:
        out: a folder that is new, empty, or holds a corpus of the same config.
        config: what to write.
        num_workers: processes to write with; 1 writes in this one.
        progress: called as (files done, files in all) after each file.

    Returns:
        `out`.

    Raises:
        ConfigError: `out` holds something else, `num_workers` is below 1, or PyAV lacks an encoder.
    """
    if num_workers < 1:
        raise ConfigError(f"num_workers must be 1 or more, got {num_workers}")
    require_encoders()
    _claim(out, config)
    tasks = _tasks(config)
    for folder in {(out / task.path).parent for task in tasks}:
        folder.mkdir(parents=True, exist_ok=True)
    for num_done, _ in enumerate(_written(out, config, tasks, num_workers), start=1):
        if progress is not None:
            progress(num_done, len(tasks))
    _write_table(out / "labels.csv", LABEL_COLUMNS, _label_rows(config, tasks))
    _write_table(out / "timing.csv", TIMING_COLUMNS, _timing_rows(config, tasks))
    _write_table(out / "segments.csv", SEGMENT_COLUMNS, _segment_rows(config, tasks))
    _write_text(out / "README.txt", _README)
    return out


def flash_beep_spec(config: SynthConfig, index: int) -> TimingSpec:
    """Timing clip `index` of the corpus: flashes about 0.8 s apart.

    Each flash falls exactly on a sample, unless hardly any frame of so short a clip does; then the
    beep takes the sample nearest to its flash.
    """
    rng = at(config.seed, Stage.SYNTH, Address(0, index, Draw.TIMING))
    num_frames = round(config.duration_s * config.fps)
    # Only every so many frames does a frame begin exactly on a sample.
    whole = config.fps // math.gcd(config.fps, config.rate_hz)
    if num_frames < 4 * whole:
        whole = 1
    slot = max(2 * whole, round(0.8 * config.fps / whole) * whole)
    flash_frames = tuple(
        start + whole * int(rng.integers(1, max(2, slot // (2 * whole))))
        for start in range(0, num_frames - slot // 2 - 1, slot)
    )
    return TimingSpec(
        width_px=config.width_px,
        height_px=config.height_px,
        fps=Fraction(config.fps),
        num_frames=num_frames,
        flash_frames=flash_frames,
        rate_hz=config.rate_hz,
        gop_frames=config.gop_frames,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Task:
    kind: Literal["video", "timing", "speech"]
    index: int
    path: str
    """Relative to the corpus, with forward slashes."""


def _tasks(config: SynthConfig) -> list[_Task]:
    videos = (
        _Task(kind="video", index=i, path=f"videos/{scene(config, i).split}/{i:05d}.mp4")
        for i in range(config.num_videos)
    )
    timing = (
        _Task(kind="timing", index=i, path=f"timing/{i:05d}.mp4")
        for i in range(config.num_flash_beep)
    )
    speech = (
        _Task(kind="speech", index=i, path=f"speech/{i:05d}.wav") for i in range(config.num_speech)
    )
    return [*videos, *timing, *speech]


def _claim(out: Path, config: SynthConfig) -> None:
    mark = json.dumps({"layout": _LAYOUT, "config": config.model_dump(mode="json")}, indent=2)
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; mend: name a folder for the corpus")
    out.mkdir(parents=True, exist_ok=True)
    found = out / _MARK
    if found.is_file():
        if found.read_text(encoding="utf-8", errors="replace") != mark:
            raise ConfigError(f"{out} holds a corpus of other settings; mend: name a new folder")
    elif any(out.iterdir()):
        raise ConfigError(f"{out} is not empty and holds no corpus; mend: name a new folder")
    else:
        _write_text(found, mark)


def _written(
    out: Path, config: SynthConfig, tasks: Sequence[_Task], num_workers: int
) -> Iterator[None]:
    if num_workers == 1:
        for task in tasks:
            yield _write(out, config, task)
        return
    # Spawned, not forked: the caller may have threads, whose locks a fork would copy.
    with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_write, out, config, task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _write(out: Path, config: SynthConfig, task: _Task) -> None:
    path = out / task.path
    if path.exists():
        return
    match task.kind:
        case "video":
            drawn = scene(config, task.index)
            write_video(
                path,
                render_frames(drawn),
                render_sound(drawn),
                frame_ticks=range(drawn.num_frames),
                tick_s=Fraction(1, drawn.fps),
                rate_hz=drawn.rate_hz,
                gop_frames=config.gop_frames,
            )
        case "timing":
            write_timing_clip(path, flash_beep_spec(config, task.index))
        case "speech":
            plan = utterance(config, task.index)
            write_wav(path, render_speech(plan), rate_hz=plan.rate_hz)


def _label_rows(config: SynthConfig, tasks: Sequence[_Task]) -> Iterator[tuple[str, ...]]:
    for task in tasks:
        if task.kind == "video":
            drawn = scene(config, task.index)
            yield (
                task.path,
                drawn.split,
                drawn.shape,
                drawn.texture,
                drawn.motion,
                drawn.speed,
                drawn.background,
                drawn.colour,
            )
        else:
            yield (task.path, *[""] * (len(LABEL_COLUMNS) - 1))


def _timing_rows(config: SynthConfig, tasks: Sequence[_Task]) -> Iterator[tuple[str, ...]]:
    for task in tasks:
        if task.kind == "timing":
            spec = flash_beep_spec(config, task.index)
            truth = timing_truth(spec)
            for flash in zip(
                spec.flash_frames, truth.flash_s, truth.beep_samples, truth.beep_s, strict=True
            ):
                yield (task.path, *map(str, flash))


def _segment_rows(config: SynthConfig, tasks: Sequence[_Task]) -> Iterator[tuple[str, ...]]:
    for task in tasks:
        if task.kind == "speech":
            for segment in utterance(config, task.index).segments:
                bounds = (segment.start_sample, segment.end_sample)
                times_s = (repr(sample / config.rate_hz) for sample in bounds)
                yield (task.path, *times_s, segment.label)


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with finished(path) as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _write_text(path: Path, text: str) -> None:
    with finished(path) as part:
        part.write_text(text, encoding="utf-8")
