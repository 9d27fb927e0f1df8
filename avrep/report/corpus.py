"""What is in a corpus: durations, frame sizes, rates, codecs, sound, labels; counted by column.

Everything is counted by Arrow's own kernels, so a catalogue of a million rows takes a second or two.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from avrep.report.wording import duration, number

Counts = tuple[tuple[str, int], ...]

_NUM_COMMON = 12
_SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_NUM_BINS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusSummary:
    """A catalogue in numbers. Counts are of items, the commonest value first."""

    num_items: int
    num_shards: int
    total_bytes: int
    total_duration_s: float
    """Of the items whose duration is a positive number."""
    num_without_duration: int
    """Items whose duration is absent, zero or not a number."""
    durations_s: tuple[float, ...]
    """At shares 0, 5, 25, 50, 75, 95 and 100 % of the items; empty when none has a duration."""
    duration_edges_s: Annotated[npt.NDArray[np.float64], "bins+1"]
    """Edges of the histogram, evenly spaced in the logarithm; empty when none has a duration."""
    duration_counts: Annotated[npt.NDArray[np.int64], "bins"]
    num_both: int
    num_video_only: int
    num_audio_only: int
    num_neither: int
    frame_sizes: Counts
    """As displayed: `640 x 480`."""
    fps: Counts
    """Rounded to a hundredth."""
    video_codecs: Counts
    rotated: Counts
    """Clockwise degrees of the items that have a rotation."""
    audio_codecs: Counts
    audio_rates_hz: Counts
    audio_channels: Counts
    labels: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """By label name: how many items have it, and how many different values it takes."""


def summarise(catalog: pa.Table) -> CorpusSummary:
    """Counts what a catalogue's table holds.

    Args:
        catalog: columns `shard`, `length_bytes`, `duration_s`, `video` and `audio` (structs, null
            when the item has none) and `labels` (map of string to string).

    Raises:
        KeyError: a column is missing.
    """
    video, audio = catalog["video"], catalog["audio"]
    num_video, num_audio = len(video) - video.null_count, len(audio) - audio.null_count
    num_both = _sum(pc.call_function("and", [video.is_valid(), audio.is_valid()]))
    all_s = catalog["duration_s"].to_numpy()
    durations_s = all_s[np.isfinite(all_s) & (all_s > 0)]
    edges, counts = _histogram(durations_s)
    rotation = _part(video, "rotation_deg")
    return CorpusSummary(
        num_items=catalog.num_rows,
        num_shards=len(catalog["shard"].unique()),
        total_bytes=_sum(catalog["length_bytes"]),
        total_duration_s=float(durations_s.sum()),
        num_without_duration=catalog.num_rows - len(durations_s),
        durations_s=tuple(np.quantile(durations_s, _SHARES).tolist()) if len(durations_s) else (),
        duration_edges_s=edges,
        duration_counts=counts,
        num_both=num_both,
        num_video_only=num_video - num_both,
        num_audio_only=num_audio - num_both,
        num_neither=catalog.num_rows - num_video - num_audio + num_both,
        frame_sizes=_sizes(video),
        fps=_common(pc.call_function("round", [_part(video, "fps")], pc.RoundOptions(ndigits=2))),
        video_codecs=_common(_part(video, "codec")),
        rotated=_common(rotation.filter(pc.call_function("not_equal", [rotation, pa.scalar(0)]))),
        audio_codecs=_common(_part(audio, "codec")),
        audio_rates_hz=_common(_part(audio, "rate_hz")),
        audio_channels=_common(_part(audio, "channels")),
        labels=_labels(catalog["labels"]),
    )


def summary_rows(summary: CorpusSummary) -> tuple[tuple[str, str], ...]:
    """The summary as (name, value) rows of text, for a terminal's table."""
    s = summary
    rows = [
        ("items", f"{s.num_items:,} in {s.num_shards:,} shards"),
        ("size", _bytes(s.total_bytes)),
        ("duration", duration(s.total_duration_s)),
    ]
    if s.durations_s:
        low, _, _, middle, _, _, high = s.durations_s
        said = f"{duration(low)} to {duration(high)}, median {duration(middle)}"
        rows.append(("an item lasts", said))
    if s.num_without_duration:
        rows.append(("duration not known", f"{s.num_without_duration:,}"))
    kinds = {
        "picture and sound": s.num_both,
        "picture only": s.num_video_only,
        "sound only": s.num_audio_only,
        "neither": s.num_neither,
    }
    rows += [(name, f"{count:,}") for name, count in kinds.items() if count]
    tallies = {
        "frame size (px)": s.frame_sizes,
        "frames per second": s.fps,
        "video codec": s.video_codecs,
        "rotated by (deg)": s.rotated,
        "audio codec": s.audio_codecs,
        "audio rate (Hz)": s.audio_rates_hz,
        "audio channels": s.audio_channels,
    }
    for name, counts in tallies.items():
        if counts:
            said = ", ".join(f"{value} ({count:,})" for value, count in counts[:6])
            rows.append((name, said if len(counts) <= 6 else f"{said}, and others"))
    for name, (count, distinct) in s.labels.items():
        rows.append((f"label {name}", f"{distinct:,} values on {count:,} items"))
    return tuple(rows)


def _histogram(
    durations_s: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    if not len(durations_s):
        return np.zeros(0, np.float64), np.zeros(0, np.int64)
    low, high = float(durations_s.min()), float(durations_s.max())
    if high < low * 1.1:
        low, high = low / 1.5, high * 1.5
    edges = np.geomspace(low, high, _NUM_BINS + 1)
    # The ends come out of an exponential: rounding must not leave the extreme items outside.
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)
    return edges, np.histogram(durations_s, edges)[0].astype(np.int64)


def _part(structs: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """One field of a column of structs, null where the struct is."""
    return structs.flatten()[structs.type.get_field_index(name)]


def _sum(values: pa.ChunkedArray) -> int:
    return int(pc.call_function("sum", [values]).as_py() or 0)


def _common(values: pa.ChunkedArray) -> Counts:
    """The commonest values with their counts, ties by value; nulls are not counted."""
    counted = values.drop_null().value_counts()
    pairs = [(pair["values"], pair["counts"]) for pair in _top(counted).to_pylist()]
    return tuple((_said(value), count) for value, count in pairs)


def _top(counted: pa.StructArray) -> pa.StructArray:
    table = pa.table({"values": counted.field("values"), "counts": counted.field("counts")})
    order = table.sort_by([("counts", "descending"), ("values", "ascending")])
    return order.slice(0, _NUM_COMMON).to_struct_array().combine_chunks()


def _sizes(video: pa.ChunkedArray) -> Counts:
    def text(name: str) -> pa.ChunkedArray:
        return _part(video, name).cast(pa.string())

    sides = [text("width_px"), text("height_px"), pa.scalar(" x ")]
    return _common(pc.call_function("binary_join_element_wise", sides))


def _labels(labels: pa.ChunkedArray) -> dict[str, tuple[int, int]]:
    parts: list[pa.Table] = []
    for chunk in labels.chunks:
        # A chunk may be a slice: its children still hold the rows outside it.
        present = chunk.drop_null()
        if not len(present):
            continue
        first, last = present.offsets[0].as_py(), present.offsets[-1].as_py()
        keys, values = (part.slice(first, last - first) for part in (present.keys, present.items))
        parts.append(pa.table({"name": keys.cast(pa.string()), "value": values.cast(pa.string())}))
    if not parts:
        return {}
    found = pa.concat_tables(parts).group_by("name")
    counted = found.aggregate([("value", "count"), ("value", "count_distinct")]).sort_by("name")
    return {
        row["name"]: (row["value_count"], row["value_count_distinct"])
        for row in counted.slice(0, 50).to_pylist()
    }


def _said(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bytes(count: int) -> str:
    for size, unit in ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= size:
            return f"{number(count / size)} {unit}"
    return f"{count} bytes"
