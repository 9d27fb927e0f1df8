"""Proves that a corpus is counted rightly, against a slow restatement, row by row in Python."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from avrep.media.catalog import SCHEMA
from avrep.report.corpus import CorpusSummary, summarise, summary_rows
from avrep.report.corpus_picture import draw_corpus


def make_rows(num_rows: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for i in range(num_rows):
        width, height = [(640, 480), (1280, 720), (320, 240)][int(rng.integers(3))]
        video = {
            "width_px": width,
            "height_px": height,
            "fps": [25.0, 30000 / 1001, 12.5][int(rng.integers(3))],
            "num_frames": 40,
            "codec": ["h264", "vp9"][int(rng.integers(2))],
            "rotation_deg": [0, 0, 90, 270][int(rng.integers(4))],
            "start_s": 0.0,
            "keyframes_s": [0.0, 1.0],
        }
        audio = {"rate_hz": int(rng.choice([16000, 48000])), "channels": int(rng.integers(1, 3))}
        audio |= {"codec": ["aac", "opus"][int(rng.integers(2))], "start_s": 0.0}
        labels = [("class", f"c{rng.integers(4)}")] if rng.random() < 0.8 else []
        labels += [("split", "train")] if rng.random() < 0.5 else []
        rows.append(
            {
                "key": f"k{i}",
                "shard": f"s{rng.integers(5)}",
                "offset_bytes": i,
                "length_bytes": int(rng.integers(1, 10**6)),
                "duration_s": [float(rng.exponential(8)) + 0.1, 0.0, float("nan")][
                    int(rng.choice(3, p=[0.9, 0.05, 0.05]))
                ],
                "video": video if rng.random() < 0.8 else None,
                "audio": audio if rng.random() < 0.6 else None,
                "labels": labels if rng.random() < 0.9 else None,
            }
        )
    return rows


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def tally(values: list[str]) -> dict[str, int]:
    return dict(Counter(values))


def assert_counts_equal_the_slow_ones(summary: CorpusSummary, rows: list[dict[str, Any]]) -> None:
    videos = [r["video"] for r in rows if r["video"]]
    audios = [r["audio"] for r in rows if r["audio"]]
    both = sum(1 for r in rows if r["video"] and r["audio"])
    assert summary.num_items == len(rows)
    assert summary.num_shards == len({r["shard"] for r in rows})
    assert summary.total_bytes == sum(r["length_bytes"] for r in rows)
    assert summary.num_both == both
    assert summary.num_video_only == len(videos) - both
    assert summary.num_audio_only == len(audios) - both
    assert summary.num_neither == sum(1 for r in rows if not r["video"] and not r["audio"])
    assert dict(summary.frame_sizes) == tally(
        [f"{v['width_px']} x {v['height_px']}" for v in videos]
    )
    assert dict(summary.fps) == tally([f"{round(v['fps'], 2):g}" for v in videos])
    assert dict(summary.video_codecs) == tally([v["codec"] for v in videos])
    rotated = [str(v["rotation_deg"]) for v in videos if v["rotation_deg"]]
    assert dict(summary.rotated) == tally(rotated)
    assert dict(summary.audio_codecs) == tally([a["codec"] for a in audios])
    assert dict(summary.audio_rates_hz) == tally([str(a["rate_hz"]) for a in audios])
    assert dict(summary.audio_channels) == tally([str(a["channels"]) for a in audios])

    durations = sorted(r["duration_s"] for r in rows if r["duration_s"] > 0)
    assert summary.total_duration_s == pytest.approx(sum(durations))
    assert summary.num_without_duration == len(rows) - len(durations)
    assert summary.durations_s[0] == durations[0]
    assert summary.durations_s[-1] == durations[-1]
    assert summary.durations_s[3] == pytest.approx(np.median(durations))
    assert summary.duration_counts.sum() == len(durations)
    for low, high, count in zip(
        summary.duration_edges_s[:-1],
        summary.duration_edges_s[1:-1],
        summary.duration_counts,
        strict=False,
    ):
        assert count == sum(low <= d < high for d in durations)

    labels: dict[str, list[str]] = {}
    for row in rows:
        for name, value in row["labels"] or []:
            labels.setdefault(name, []).append(value)
    assert summary.labels == {k: (len(v), len(set(v))) for k, v in labels.items()}


def test_counts_equal_a_slow_restatement() -> None:
    rows = make_rows(300)
    assert_counts_equal_the_slow_ones(summarise(table_of(rows)), rows)


def test_slices_and_chunks_count_only_their_own_rows() -> None:
    rows = make_rows(300)
    pieces = [table_of(rows[:90]), table_of(rows[90:95]).slice(2), table_of(rows)[200:290]]
    wanted = rows[:90] + rows[92:95] + rows[200:290]
    assert_counts_equal_the_slow_ones(summarise(pa.concat_tables(pieces)), wanted)


def test_the_commonest_come_first_and_the_rare_are_cut_off() -> None:
    row = next(row for row in make_rows(20) if row["video"])
    videos = [{**row["video"], "codec": f"c{i * i // 100:02d}"} for i in range(100)]
    codecs = summarise(table_of([{**row, "video": video} for video in videos])).video_codecs
    assert len(codecs) == 12
    assert codecs[0] == ("c00", 10)
    assert [count for _, count in codecs] == sorted((c for _, c in codecs), reverse=True)


def test_a_corpus_of_nothing_and_of_one() -> None:
    nothing = summarise(table_of([]))
    assert nothing.num_items == nothing.total_bytes == nothing.num_neither == 0
    assert nothing.durations_s == ()
    (row,) = make_rows(1, seed=4)
    one = summarise(table_of([{**row, "duration_s": 2.5}]))
    assert one.durations_s == (2.5,) * 7
    assert one.duration_counts.sum() == 1


def test_text_rows_say_the_numbers() -> None:
    rows = make_rows(300)
    summary = summarise(table_of(rows))
    said = dict(summary_rows(summary))
    assert said["items"] == f"300 in {summary.num_shards} shards"
    assert said["picture and sound"] == str(summary.num_both)
    top, count = summary.video_codecs[0]
    assert said["video codec"].startswith(f"{top} ({count})")
    assert said["label class"].startswith("4 values on ")
    assert said["duration not known"] == str(summary.num_without_duration)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(KeyError, match="audio"):
        summarise(table_of(make_rows(3)).drop_columns(["audio"]))


@pytest.mark.parametrize("num_rows", [0, 1, 200])
def test_the_picture_is_drawn_without_a_display(tmp_path: Path, num_rows: int) -> None:
    out = tmp_path / "corpus.png"
    draw_corpus(summarise(table_of(make_rows(num_rows, seed=1))), out)
    with Image.open(out) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    bars = (np.abs(pixels.astype(int) - (0x3D, 0x86, 0xA5)).max(axis=2) <= 2).sum()
    assert bool(bars > 1000) == (num_rows > 0)
