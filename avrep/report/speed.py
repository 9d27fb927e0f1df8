"""Where the time of a run went, which part to look at first, and what mends it."""

import math
from collections.abc import Iterator, Mapping

import numpy as np

from avrep.report.curves import Floats, draw_shares
from avrep.report.run_files import Metrics
from avrep.training.step_clock import StepTimes
from avrep.training.verdict import Bottleneck, Verdict, overall, verdict
from avrep.types import StageTimes

TIME_COLUMNS = (
    *("step_wait_s", "step_transfer_s", "step_augment_s", "step_compute_s", "step_other_s"),
    *("stream_storage_s", "stream_demux_s", "stream_decode_s", "stream_convert_s"),
)
"""The columns of metrics that `avrep.training.recorder` writes about time, seconds of a step."""

_NUM_BARS = 60
# From the bottom up: what the trainer is for stands on the axis, what it waits for hangs down.
_ORDER = (
    Bottleneck.COMPUTE,
    Bottleneck.AUGMENTATION,
    Bottleneck.TRANSFER,
    Bottleneck.OTHER,
    Bottleneck.CONVERSION,
    Bottleneck.DECODE,
    Bottleneck.DEMUX,
    Bottleneck.STORAGE,
    Bottleneck.STREAM,
)
_NAMES = {
    Bottleneck.STREAM: "waiting for the stream itself",
    Bottleneck.OTHER: "logging, checkpoints, the rest",
}
_TAKES = {
    Bottleneck.TRANSFER: "moving batches to the device takes",
    Bottleneck.AUGMENTATION: "augmentation takes",
    Bottleneck.COMPUTE: "forward, backward and update take",
    Bottleneck.OTHER: "logging, checkpoints and the like take",
}
_MENDS = {
    Bottleneck.STORAGE: "bring the data nearer (a local disk, the same region); pack it into shards "
    "with <code>avrep pack</code>, so that reads are long; raise <code>data.read_ahead_bytes</code> "
    "or <code>data.num_decode_actors</code>, so that more of them are under way at once.",
    Bottleneck.DEMUX: "rewrite the files with <code>avrep pack</code>: short groups of pictures "
    "leave fewer packets to read for each clip.",
    Bottleneck.DECODE: "raise <code>data.num_decode_actors</code> while there are idle cores, or "
    "make each clip cheaper to decode: <code>avrep pack</code> stores small frames in short groups "
    "of pictures.",
    Bottleneck.CONVERSION: "store frames at the size that is wanted (<code>avrep pack</code>), so "
    "that none is scaled down while training, or raise <code>data.num_decode_actors</code>.",
    Bottleneck.STREAM: "in a short run this is the actors' start, and passes; otherwise see that "
    "they have cores of their own, and raise <code>data.prefetch_bytes</code>.",
    Bottleneck.TRANSFER: "move fewer bytes: a smaller <code>objective.short_side_px</code> makes "
    "frames smaller before they leave the host. (Memory is pinned already.)",
    Bottleneck.AUGMENTATION: "on a CPU, raise <code>train.num_threads</code>; on a GPU, use larger "
    "batches (<code>train.batch_size</code>), so that each operation has more to do.",
    Bottleneck.COMPUTE: "nothing, the data keeps up. To train faster: <code>train.precision=bf16"
    "</code> on a GPU, a smaller encoder or crop, or more devices.",
    Bottleneck.OTHER: "log and write checkpoints less often: <code>train.log_every_steps</code>, "
    "<code>train.checkpoint_every_steps</code>; see that the run's folder is on a quick disk.",
}


def run_verdict(metrics: Metrics) -> Verdict | None:
    """The verdict over all lines of a run; None where they do not say where the time went."""
    return overall(_judged(metrics, range(len(metrics.steps))))


def verdict_html(metrics: Metrics) -> str:
    """The verdict in a sentence, and what mends it; empty where nothing was measured."""
    found = run_verdict(metrics)
    if found is None:
        return ""
    share = 100 * found.shares[found.bottleneck]
    wait = f"{100 * found.wait_share:.0f} %"
    waited = f"the trainer waited for data in {wait} of the time"
    if found.bottleneck is Bottleneck.STREAM:
        said = f"{waited}, chiefly for actors that start and batches on their way."
    elif found.bottleneck.is_waiting:
        within = share / found.wait_share
        said = f"{waited}, {within:.0f} % of that for {found.bottleneck}."
    else:
        said = f"{_TAKES[found.bottleneck]} {share:.0f} % of the time; {waited}."
    head = found.words[0].upper() + found.words[1:]
    return (
        f"<p class='bottleneck'><b>{head}</b>: {said}</p>"
        f"<p class='note'>What to do: {_MENDS[found.bottleneck]}</p>"
    )


def time_figure(metrics: Metrics) -> str:
    """Bars over the steps of where a step's time went; empty where nothing was measured."""
    whole = run_verdict(metrics)
    if whole is None:
        return ""
    ends: list[float] = []
    bars: list[Mapping[Bottleneck, float]] = []
    for rows in _buckets(metrics):
        found = overall(_judged(metrics, rows))
        ends.append(float(metrics.steps[rows[-1]]))
        bars.append(found.shares if found else {})
    # A part that never comes to a hundredth of the time could not be seen.
    shown = [part for part in _ORDER if any(bar.get(part, 0.0) >= 0.01 for bar in bars)]
    layers: dict[str, Floats] = {
        part: np.array([bar.get(part, 0.0) for bar in bars]) for part in shown
    }
    svg = draw_shares(_began(metrics), np.array(ends), layers, title="Where the time goes by step")
    legend = "".join(
        f"<li><i class='part {part}'></i>{_name(part)} {100 * whole.shares[part]:.0f} %</li>"
        for part in reversed(shown)
    )
    return (
        "<figure class='time'><figcaption>Where the time goes</figcaption>"
        f"<div>{svg}<ul class='legend parts'>{legend}</ul></div></figure>"
    )


def _name(part: Bottleneck) -> str:
    return _NAMES.get(part, f"waiting for {part}" if part.is_waiting else str(part))


def _began(metrics: Metrics) -> float:
    """The step before the first line's, as far as the distance of the lines tells."""
    steps = metrics.steps
    apart = int(steps[1] - steps[0]) if len(steps) > 1 else int(steps[0])
    return float(max(0, steps[0] - apart))


def _buckets(metrics: Metrics) -> Iterator[range]:
    """Rows of the metrics that share a bar."""
    num_rows = len(metrics.steps)
    num_bars = min(num_rows, _NUM_BARS)
    for i in range(num_bars):
        yield range(i * num_rows // num_bars, (i + 1) * num_rows // num_bars)


def _judged(metrics: Metrics, rows: range) -> list[tuple[Verdict, float]]:
    """The verdict of each line that has one, with the seconds of its steps."""
    judged: list[tuple[Verdict, float]] = []
    for row in rows:
        line = {name: _seconds(metrics, name, row) for name in TIME_COLUMNS}
        step_s = sum(line[name] for name in TIME_COLUMNS if name.startswith("step_"))
        times = StepTimes(
            elapsed_s=step_s,
            wait_s=line["step_wait_s"],
            transfer_s=line["step_transfer_s"],
            augment_s=line["step_augment_s"],
            compute_s=line["step_compute_s"],
        )
        spent = StageTimes(
            storage_s=line["stream_storage_s"],
            demux_s=line["stream_demux_s"],
            decode_s=line["stream_decode_s"],
            convert_s=line["stream_convert_s"],
        )
        if found := verdict(times, spent):
            judged.append((found, _seconds(metrics, "elapsed_s", row) or step_s))
    return judged


def _seconds(metrics: Metrics, name: str, row: int) -> float:
    """The value of a line; zero where it is absent, or no time that could have been measured."""
    column = metrics.columns.get(name)
    value = math.nan if column is None else float(column[row])
    return value if 1e-9 < value < 1e9 else 0.0
