"""Proves that plots of results and of synchrony are drawn, with what is not measured and all ties."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from avrep.evaluation.sync import OffsetScores
from avrep.evaluation.sync_results import SyncClips
from avrep.evaluation.task_result import DataFacts, EncoderFacts, Metric, TaskResult
from avrep.evaluation.task_tables import tabulate
from avrep.report.sync_plot import away_from_truth, draw_sync
from avrep.report.task_plot import draw_tasks
from avrep.report.terminal import print_tasks


def _results() -> list[TaskResult]:
    return [
        TaskResult(
            task=task,
            protocol="superb",
            protocol_version=1,
            encoder=EncoderFacts(name=encoder, digest="e", num_parameters=1),
            data=DataFacts(name="d", digest="d", num_train=1, num_valid=1, num_test=9),
            metrics=(
                Metric(name="acc", value=0.5, ci_low=0.4, ci_high=0.6, num_items=9, num_clusters=3),
            ),
        )
        for encoder, task in (
            ("runs/[bold]a", "superb/ks"),
            ("logmel", "superb/ks"),
            ("logmel", "x"),
        )
    ]


def test_a_plot_has_a_panel_for_each_number(tmp_path: Path) -> None:
    draw_tasks(tabulate(_results()), tmp_path / "one.png")
    draw_tasks(tabulate(_results()[:2]), tmp_path / "two.png")
    with Image.open(tmp_path / "one.png") as both, Image.open(tmp_path / "two.png") as single:
        assert both.width > single.width
        assert np.asarray(both).std() > 5


def test_names_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_tasks(tabulate(_results()))
    out = capsys.readouterr().out
    assert "runs/[bold]a" in out
    assert out.count("50.0") == 3


def test_scores_by_distance_from_the_truth_worked_by_hand() -> None:
    """Two clips with their peak at the truth, at offsets 0 and 2 of three."""
    scores = OffsetScores(
        offsets_s=(-0.5, 0.0, 0.5), scores=torch.tensor([[2.0, 0.0, 1.0], [4.0, 8.0, 12.0]])
    )
    away_s, means, errors = away_from_truth(scores, np.array([0, 2]))
    assert away_s.tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]
    unit = (3 / 2) ** 0.5
    assert means == pytest.approx([-unit, 0, unit, -unit, 0])
    assert errors == pytest.approx([0] * 5)


def test_synchrony_is_drawn_with_and_without_windows(tmp_path: Path) -> None:
    scores = OffsetScores(
        offsets_s=(-0.1, 0.0, 0.1), scores=torch.rand(4, 3, generator=torch.Generator())
    )
    for confidence, name in ((torch.rand(4, 6), "windows"), (None, "without")):
        clips = SyncClips(
            keys=("a.mp4", "b.mp4", "c.mp4", "d.mp4"),
            numbers=torch.tensor([0, 1, 2, 1]),
            scores=scores,
            others=scores,
            by_hand=None,
            embedded=None,
            confidence=confidence,
            hop_s=0.1,
        )
        draw_sync(clips, tmp_path / f"{name}.png", "test")
    with Image.open(tmp_path / "windows.png") as two, Image.open(tmp_path / "without.png") as one:
        assert two.width > 1.5 * one.width
