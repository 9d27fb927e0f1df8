"""Synchrony as pictures: how scores fall away from the true offset, and where sound and lips agree."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from avrep.evaluation.sync import OffsetScores
from avrep.evaluation.sync_results import SyncClips

_INK, _SOFT, _OWN, _OTHER = "#1b2126", "#5d6770", "#3d86a5", "#b5532a"
_NUM_CURVES = 6


def draw_sync(clips: SyncClips, out: Path, title: str) -> None:
    """Write the picture as a PNG.

    Left, the mean score of clips by how far an offset is from the true one, beside the same with another
    clip's pictures. Right, for the first clips, how surely each window's pictures go with the sound.

    Args:
        clips: what was found.
        out: the file.
        title: what was measured.
    """
    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)
    num_panels = 1 if clips.confidence is None else 2
    figure = Figure(figsize=(5.6 * num_panels, 3.8), dpi=130, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, num_panels, squeeze=False)[0]
    figure.suptitle(title, color=_INK, fontsize=11, fontweight="bold", x=0.012, ha="left")
    _by_distance(panels[0], clips)
    if clips.confidence is not None:
        _by_window(panels[1], clips)
    figure.savefig(out, format="png")


def away_from_truth(
    scores: OffsetScores, numbers: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each clip's scores standardised, then their mean by distance from the clip's true offset.

    Returns:
        float64[k] each: distances in seconds, ascending; means; and standard errors. Distances that no
        clip has are left out.
    """
    values = scores.scores.double().numpy()
    deviation = values.std(axis=1, keepdims=True)
    standard = (values - values.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1)
    num = values.shape[1]
    step_s = scores.offsets_s[1] - scores.offsets_s[0]
    away = np.arange(num)[None, :] - numbers[:, None]
    steps = np.unique(away)
    groups = [standard[away == step] for step in steps]
    errors = [group.std() / np.sqrt(len(group)) for group in groups]
    return steps * step_s, np.array([group.mean() for group in groups]), np.array(errors)


def _by_distance(axes: Axes, clips: SyncClips) -> None:
    numbers = clips.numbers.numpy()
    for scores, colour, name in (
        (clips.scores, _OWN, "its own pictures"),
        (clips.others, _OTHER, "another clip's"),
    ):
        if scores is None:
            continue
        away_s, means, errors = away_from_truth(scores, numbers)
        axes.plot(away_s, means, color=colour, linewidth=1.8, label=name)
        axes.fill_between(away_s, means - errors, means + errors, color=colour, alpha=0.18)
    axes.axvline(0, color=_SOFT, linewidth=0.8, linestyle=(0, (2, 2)))
    _dress(
        axes, f"Score by offset, mean of {len(clips.keys)} clips", "seconds from the true offset"
    )
    axes.set_ylabel("score, standardised in each clip", color=_SOFT, fontsize=8)
    axes.legend(frameon=False, fontsize=8, labelcolor=_INK)


def _by_window(axes: Axes, clips: SyncClips) -> None:
    assert clips.confidence is not None
    curves = clips.confidence.numpy()[:_NUM_CURVES]
    time_s = np.arange(curves.shape[1]) * clips.hop_s
    for key, curve in zip(clips.keys, curves, strict=False):
        axes.plot(time_s, curve, linewidth=1.4, label=Path(key).stem[:18])
    axes.axhline(0, color=_SOFT, linewidth=0.8)
    _dress(axes, "Confidence by window (who speaks)", "seconds, from the first window")
    axes.legend(frameon=False, fontsize=7, labelcolor=_INK, ncols=2)


def _dress(axes: Axes, title: str, label: str) -> None:
    axes.set_title(title, color=_INK, fontsize=10, loc="left")
    axes.set_xlabel(label, color=_SOFT, fontsize=8)
    axes.grid(color="#e4e8eb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_SOFT, labelsize=8, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
