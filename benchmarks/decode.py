"""Clips per second of `decode_views` beside plain decoders, on the same files, in the same run.

    python benchmarks/decode.py FOLDER [FOLDER ...] > benchmarks/decode.md

Work: two views of 16 frames at stride 2 from random starts, RGB at a short side of 128 pixels, the
file opened for each. The contenders take turns on each file, one core, one thread each, so that a
noisy neighbour meets them all. A figure is the median over rounds of files done per CPU second; the
spread is the range of the middle half. Plain PyAV opens, seeks to the key frame before the first
wanted frame, decodes on to the last and converts the wanted ones; it knows nothing of rotation,
damage or a common clock.
"""

import argparse
import io
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from avrep.errors import MediaError
from avrep.media.decode import DecoderName, decode_views
from avrep.media.probe import probe
from avrep.media.sources import MEDIA_SUFFIXES
from avrep.types import ClipTimes, Geometry, MediaItem, VideoStream

NUM_FRAMES, STRIDE, SHORT_SIDE_PX = 16, 2, 128
NUM_ROUNDS = 5
GEOMETRY = Geometry(short_side_px=SHORT_SIDE_PX)

Decode = Callable[[bytes, VideoStream, list[ClipTimes]], None]


def plain_pyav(data: bytes, video: VideoStream, views: list[ClipTimes]) -> None:
    """What one would write in an afternoon, in one pass over both views."""
    width_px, height_px = GEOMETRY.size_px(video.width_px, video.height_px)
    wanted = np.sort(np.concatenate([view.frames_s for view in views]))
    with av.open(io.BytesIO(data), mode="r") as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        base_s = float(stream.time_base or 1)
        container.seek(int(wanted[0] / base_s), stream=stream)
        kept, last, place = [], None, 0
        for frame in container.decode(stream):
            while last is not None and place < len(wanted) and (frame.time or 0.0) > wanted[place]:
                kept.append(last.reformat(width_px, height_px, "rgb24").to_ndarray())
                place += 1
            last = frame
            if place == len(wanted):
                break


def with_avrep(decoder: DecoderName) -> Decode:
    def decode(data: bytes, _video: VideoStream, views: list[ClipTimes]) -> None:
        decode_views(data, views, GEOMETRY, decoder=decoder)

    return decode


CONTENDERS: dict[str, Decode] = {
    "plain PyAV": plain_pyav,
    "avrep, pyav": with_avrep("pyav"),
    "avrep, decord": with_avrep("decord"),
    "avrep, torchcodec": with_avrep("torchcodec"),
}


def draw_views(video: VideoStream, rng: np.random.Generator) -> list[ClipTimes]:
    span = (NUM_FRAMES - 1) * STRIDE + 1
    starts = rng.integers(0, max(1, video.num_frames - span), 2)
    frames = [(start + STRIDE * np.arange(NUM_FRAMES)) % video.num_frames for start in starts]
    return [ClipTimes(frames_s=video.start_s + (chosen + 0.5) / video.fps) for chosen in frames]


def all_can(path: Path, data: bytes, video: VideoStream) -> bool:
    """Whether each contender decodes the file; one that cannot takes it out for all, and says so."""
    for name, decode in CONTENDERS.items():
        try:
            decode(data, video, draw_views(video, np.random.default_rng(0)))
        except MediaError as error:
            print(f"{path} left out: {name}: {error}", file=sys.stderr)
            return False
    return True


def measure(folder: Path) -> dict[str, list[float]]:
    """Files per CPU second of each contender, a figure for each round."""
    loaded: list[tuple[bytes, VideoStream]] = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in MEDIA_SUFFIXES):
        data = path.read_bytes()
        key = path.name
        row = MediaItem(key=key, shard=key, offset_bytes=0, length_bytes=len(data), duration_s=0.0)
        found = probe(data, row)
        if found.video is not None and all_can(path, data, found.video):
            loaded.append((data, found.video))
    figures: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for number in range(NUM_ROUNDS + 1):
        spent_s = dict.fromkeys(CONTENDERS, 0.0)
        rng = np.random.default_rng(number)
        for data, video in loaded:
            views = draw_views(video, rng)
            for name, decode in CONTENDERS.items():
                began_s = time.process_time()
                decode(data, video, views)
                spent_s[name] += time.process_time() - began_s
        if number > 0:  # The first round warms up.
            for name in CONTENDERS:
                figures[name].append(2 * len(loaded) / spent_s[name])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    folders: list[Path] = parser.parse_args().folders
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False
    ).stdout.strip()
    print("# Decoding: clips per CPU second, one core\n")
    print(f"Commit {commit}, {platform.processor() or platform.machine()}, PyAV {av.__version__},")
    print("written by `benchmarks/decode.py`, which says what is measured.\n")
    print("| files | " + " | ".join(CONTENDERS) + " | avrep, pyav / plain |")
    print("|---|" + "---|" * (len(CONTENDERS) + 1))
    for folder in folders:
        figures = measure(folder)
        cells = []
        for values in figures.values():
            low, middle, high = statistics.quantiles(values, n=4)
            cells.append(f"{middle:.1f} ({low:.1f} to {high:.1f})")
        plain, ours = (statistics.median(figures[name]) for name in list(CONTENDERS)[:2])
        print(f"| {folder.name} | " + " | ".join(cells) + f" | {ours / plain:.2f} |", flush=True)
        print(f"{folder} done", file=sys.stderr)


if __name__ == "__main__":
    main()
