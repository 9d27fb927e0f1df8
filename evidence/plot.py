"""The evidence as pictures: means with their intervals, and clips frame by frame."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from evidence.lines import Line

_MARKS = (
    ("trained", "#1b6ca8", "o", 0.2),
    ("untrained", "#8794a1", "s", 0.0),
    ("baseline", "#d9a441", "D", -0.2),
)


def plot_lines(lines: Sequence[Line], path: Path) -> None:
    """Draw each line's means and intervals, a panel for each question."""
    questions = list(dict.fromkeys(line.question for line in lines))
    heights = [sum(line.question == question for line in lines) for question in questions]
    figure, grid = plt.subplots(
        len(questions),
        1,
        figsize=(8.5, 0.6 * len(questions) + 0.55 * len(lines) + 0.6),
        height_ratios=heights,
        squeeze=False,
        sharex=True,
        layout="constrained",
    )
    for question, axes in zip(questions, grid[:, 0], strict=True):
        chosen = [line for line in lines if line.question == question]
        for place, line in enumerate(chosen):
            for name, colour, marker, shift in _MARKS:
                interval = getattr(line, name)
                if interval is None:
                    continue
                error = [[interval.value - interval.low], [interval.high - interval.value]]
                axes.errorbar(
                    interval.value,
                    place - shift,
                    xerr=error,
                    fmt=marker,
                    color=colour,
                    capsize=2,
                    label={"baseline": "hand-made"}.get(name, name),
                )
            axes.plot([line.chance] * 2, [place - 0.4, place + 0.4], ":", color="#444")
        axes.set_yticks(range(len(chosen)), [line.method for line in chosen])
        axes.set_ylim(len(chosen) - 0.5, -0.5)
        axes.set_title(question, loc="left", fontsize=10, weight="bold")
        axes.grid(axis="x", alpha=0.25)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)
    # The first panel may lack one of them.
    marks = {
        label: handle
        for axes in grid[:, 0]
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(marks.values(), marks.keys(), loc="outside upper right", ncols=3, frameon=False)
    grid[-1, 0].set_xlim(0, 1)
    grid[-1, 0].set_xlabel("share right; dotted: chance")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot_clips(
    titles: Sequence[str], rows: Mapping[str, npt.NDArray[np.floating]], path: Path
) -> None:
    """Draw clips two abreast, each as rows of frames with the same frames beneath one another.

    Args:
        titles: of the b clips.
        rows: name of a row -> float[b 3 t h w] in [0, 1].
        path: the picture to write.
    """
    height = -(-len(titles) // 2)
    num_frames = max(pictures.shape[2] for pictures in rows.values())
    figure, grid = plt.subplots(
        height,
        2,
        figsize=(1.3 * num_frames + 1.2, (0.65 * len(rows) + 0.3) * height),
        squeeze=False,
        layout="constrained",
    )
    for axes in grid.flat:
        axes.axis("off")
    for clip, (title, axes) in enumerate(zip(titles, grid.flat, strict=False)):
        strips = [_strip(pictures[clip]) for pictures in rows.values()]
        axes.imshow(np.concatenate(strips), interpolation="nearest")
        axes.set_title(title, loc="left", fontsize=9)
        for place, name in enumerate(rows):
            middle = (place + 0.5) * len(strips[place])
            axes.text(-4, middle, name, ha="right", va="center", fontsize=8, color="#444")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _strip(frames: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """float[h + 2, t (w + 2), 3]: frames side by side on white, with a gap after and beneath each."""
    padded = np.pad(frames, ((0, 0), (0, 0), (0, 2), (0, 2)), constant_values=1.0)
    return np.moveaxis(np.concatenate(np.moveaxis(padded, 1, 0), axis=2), 0, 2)
