"""The report names what a run waited for, says what mends it, and draws the time to scale."""

import json
import re
from pathlib import Path
from typing import get_args
from xml.etree import ElementTree

import numpy as np
import pytest

from avrep.config import RunConfig
from avrep.report.curves import draw_shares
from avrep.report.html import write_report
from avrep.report.run_files import Metrics
from avrep.report.speed import TIME_COLUMNS, run_verdict, time_figure, verdict_html
from avrep.training.verdict import Bottleneck

from .run_folder import time_of_step

NO_TIME = dict.fromkeys(TIME_COLUMNS, 0.0)
LEFT_PX, RIGHT_PX, TOP_PX, BOTTOM_PX = 46.0, 368.0, 8.0, 150.0


def metrics(*lines: dict[str, float], apart: int = 10) -> Metrics:
    keys = sorted({key for line in lines for key in line})
    return Metrics(
        steps=np.arange(1, len(lines) + 1) * apart,
        columns={k: np.array([line.get(k, np.nan) for line in lines]) for k in keys},
    )


def line(elapsed_s: float = 1.0, **seconds: float) -> dict[str, float]:
    return {**NO_TIME, "elapsed_s": elapsed_s, **seconds}


def bars(svg: str) -> dict[str, list[list[float]]]:
    """By CSS class, the numbers of each bar's path: left, bottom, top, right, bottom."""
    paths = [e for e in ElementTree.fromstring(svg) if e.tag == "path"]
    return {
        path.attrib["class"].removeprefix("part "): [
            [float(n) for n in re.findall(r"-?[\d.]+", bar)]
            for bar in path.attrib["d"].split("z")
            if bar
        ]
        for path in paths
    }


@pytest.mark.parametrize(
    ("times", "bottleneck", "said"),
    [
        (
            {
                "step_wait_s": 0.62,
                "step_compute_s": 0.38,
                "stream_decode_s": 3,
                "stream_demux_s": 1,
            },
            Bottleneck.DECODE,
            "<b>Waiting for decode</b>: the trainer waited for data in 62 % of the time, 75 % of "
            "that for decode.",
        ),
        (
            {"step_wait_s": 0.9, "step_compute_s": 0.1},
            Bottleneck.STREAM,
            "<b>Waiting for the stream</b>: the trainer waited for data in 90 % of the time, chiefly "
            "for actors that start and batches on their way.",
        ),
        (
            {"step_wait_s": 0.02, "step_compute_s": 0.98, "stream_decode_s": 1},
            Bottleneck.COMPUTE,
            "<b>Compute-bound</b>: forward, backward and update take 98 % of the time; the trainer "
            "waited for data in 2 % of the time.",
        ),
        (
            {"step_other_s": 0.8, "step_compute_s": 0.2},
            Bottleneck.OTHER,
            "<b>Busy between steps</b>: logging, checkpoints and the like take 80 % of the time; "
            "the trainer waited for data in 0 % of the time.",
        ),
    ],
)
def test_the_sentence(times: dict[str, float], bottleneck: Bottleneck, said: str) -> None:
    run = metrics(line(**times), line(**times))
    found = run_verdict(run)
    assert found is not None
    assert found.bottleneck is bottleneck
    assert said in verdict_html(run)


STAGES = {
    Bottleneck.STORAGE: "stream_storage_s",
    Bottleneck.DEMUX: "stream_demux_s",
    Bottleneck.DECODE: "stream_decode_s",
    Bottleneck.CONVERSION: "stream_convert_s",
}
PARTS = {
    Bottleneck.TRANSFER: "step_transfer_s",
    Bottleneck.AUGMENTATION: "step_augment_s",
    Bottleneck.COMPUTE: "step_compute_s",
    Bottleneck.OTHER: "step_other_s",
}


def fields_of(annotation: object) -> set[str]:
    """Names of a config's fields, or of those of each kind where it may be of several."""
    own = set(getattr(annotation, "model_fields", ()))
    return own.union(*(fields_of(kind) for kind in get_args(annotation)))


@pytest.mark.parametrize("bottleneck", Bottleneck)
def test_every_bottleneck_has_a_sentence_a_mend_of_its_own_and_a_colour(
    bottleneck: Bottleneck,
) -> None:
    if bottleneck in PARTS:
        times = {PARTS[bottleneck]: 1.0}
    else:
        times = {"step_wait_s": 1.0}
        if bottleneck in STAGES:
            times[STAGES[bottleneck]] = 1.0
    run = metrics(line(**times))
    text = verdict_html(run)
    mend = text.partition("What to do: ")[2]
    assert len(mend) > 40
    assert mend.count("<code>") == mend.count("</code>")
    for key in re.findall(r"<code>(\w+\.\w+)(?:=\w+)?</code>", mend):
        part, _, name = key.partition(".")
        of = RunConfig.model_fields[part].annotation
        assert name in fields_of(of), f"{key} is no key of a config"
    assert f"part {bottleneck}" in time_figure(run)
    style = (Path(write_report.__code__.co_filename).parent / "report.css").read_text()
    assert f".part.{bottleneck} {{ --part:" in style


def test_a_line_weighs_what_it_lasted() -> None:
    """A second of decoding in every step, but in a window of 100 s against one of 900 s compute."""
    waited = line(100.0, step_wait_s=1.0, stream_decode_s=1.0)
    computed = line(900.0, step_compute_s=0.5)
    found = run_verdict(metrics(waited, computed))
    assert found is not None
    assert found.wait_share == pytest.approx(0.1)
    assert found.shares[Bottleneck.COMPUTE] == pytest.approx(0.9)


def test_the_start_of_a_run_is_not_laid_at_the_decoders_door() -> None:
    """20 s until actors run, which no stage explains; then 6 s of waiting for decode in 60 s."""
    start = line(20.0, step_wait_s=20.0, stream_decode_s=2.0)
    rest = [line(30.0, step_wait_s=0.1, step_compute_s=0.9, stream_decode_s=0.5) for _ in range(2)]
    run = metrics(start, *rest)
    found = run_verdict(run)
    assert found is not None
    assert found.bottleneck is Bottleneck.COMPUTE
    assert found.shares[Bottleneck.STREAM] == pytest.approx(20 / 80)
    assert found.shares[Bottleneck.DECODE] == pytest.approx(6 / 80)
    percents = re.findall(r"</i>([^<]*) (\d+) %</li>", time_figure(run))
    assert dict(percents)["waiting for the stream itself"] == "25"
    assert dict(percents)["waiting for decode"] == "8"
    short = run_verdict(metrics(start, line(10.0, step_wait_s=1.0, stream_decode_s=100.0)))
    assert short is not None
    assert short.bottleneck is Bottleneck.STREAM


def test_bars_stand_at_their_numbers() -> None:
    layers = {"compute": np.array([0.25, 1.0]), "decode": np.array([0.75, 0.0])}
    drawn = bars(draw_shares(0.0, np.array([30.0, 40.0]), layers, title="t"))
    middle = LEFT_PX + 0.75 * (RIGHT_PX - LEFT_PX)
    quarter = BOTTOM_PX - 0.25 * (BOTTOM_PX - TOP_PX)
    assert drawn == {
        "compute": [
            [LEFT_PX, BOTTOM_PX, quarter, middle, BOTTOM_PX],
            [middle, BOTTOM_PX, TOP_PX, RIGHT_PX, BOTTOM_PX],
        ],
        "decode": [[LEFT_PX, quarter, TOP_PX, middle, quarter]],
    }


def test_a_long_run_has_few_bars_which_fill_the_picture() -> None:
    rng = np.random.default_rng(0)
    lines = [
        line(**{name: float(rng.uniform(0.1, 1)) for name in TIME_COLUMNS}) for _ in range(1003)
    ]
    figure = time_figure(metrics(*lines))
    svg = re.search(r"<svg.*</svg>", figure)
    assert svg
    drawn = bars(svg[0])
    assert set(drawn) == set(Bottleneck) - {Bottleneck.STREAM}
    assert {len(some) for some in drawn.values()} == {60}
    lowest = drawn["compute"]
    assert lowest[0][0] == LEFT_PX
    assert lowest[-1][3] == RIGHT_PX
    tops = [min(layer[i][2] for layer in drawn.values()) for i in range(60)]
    assert tops == pytest.approx([TOP_PX] * 60, abs=0.11)
    percents = [int(n) for n in re.findall(r"(\d+) %</li>", figure)]
    assert sum(percents) == pytest.approx(100, abs=4)


def test_the_page_shows_the_verdict_once_and_no_curve_of_each_column(run_dir: Path) -> None:
    page = write_report(run_dir).read_text()
    assert page.count("<b>Waiting for decode</b>") == 1
    assert "Where the time goes" in page
    assert "<small>of the time, mostly for decode</small>" in page
    assert not any(f"{name} by step" in page for name in TIME_COLUMNS)
    assert "Throughput by step" in page


def test_a_run_that_does_not_say_where_its_time_went_has_its_page_as_before(run_dir: Path) -> None:
    path = run_dir / "metrics.jsonl"
    names = {*TIME_COLUMNS, "bottleneck"}
    lines = [json.loads(text) for text in path.read_text().splitlines()]
    path.write_text(
        "".join(
            json.dumps({k: v for k, v in old.items() if k not in names}) + "\n" for old in lines
        )
    )
    page = write_report(run_dir).read_text()
    assert "Where the time goes" not in page
    assert "Time spent waiting for data by step" in page
    assert "of the time, median" in page


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), 1e300, 1e-300, True, "x", {}])
def test_values_that_are_no_times_do_no_harm(run_dir: Path, value: object) -> None:
    good = {"step": 1204, "elapsed_s": 2.0, **time_of_step(wait_s=0.1, compute_s=0.1, decode_s=0.1)}
    with (run_dir / "metrics.jsonl").open("a") as file:
        for i, name in enumerate((*TIME_COLUMNS, "elapsed_s")):
            file.write(json.dumps({**good, "step": 1204 + 4 * i, name: value}) + "\n")
        file.write(json.dumps({"step": 1300, **dict.fromkeys(TIME_COLUMNS, value)}) + "\n")
    page = write_report(run_dir).read_text()
    figure = page.partition("Where the time goes")[2].partition("</figure>")[0]
    svg = re.search(r"<svg.*</svg>", figure)
    assert svg
    for left, bottom, top, right, _ in (bar for layer in bars(svg[0]).values() for bar in layer):
        assert LEFT_PX <= left <= right <= RIGHT_PX
        assert TOP_PX - 0.1 <= top <= bottom <= BOTTOM_PX
    assert "<b>Waiting for decode</b>" in page
    assert "nan" not in figure
    assert "inf" not in figure


@pytest.mark.parametrize("name", [*TIME_COLUMNS, "elapsed_s"])
@pytest.mark.parametrize("value", [-0.5, 1e30, 1e-30, float("nan")])
def test_what_is_no_time_counts_as_none(name: str, value: float) -> None:
    good = dict.fromkeys(TIME_COLUMNS, 0.1) | {"elapsed_s": 0.5}
    found = run_verdict(metrics({**good, name: value}))
    assert found is not None
    assert found == run_verdict(metrics({**good, name: 0.0}))
