"""Commands of `avrep` that look into a run."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


def replay(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    step: Annotated[int, typer.Option(min=1, help="Which step, as metrics.jsonl counts.")],
    nearest: Annotated[
        bool,
        typer.Option("--nearest", help="Take no steps between: the nearest checkpoint's weights."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The PNG of its clips; in the run's folder if not given."),
    ] = None,
) -> None:
    """Make a step of a run again and take it apart: losses, gradients, layers, and the clips.

    It starts from the newest checkpoint before the step and takes the steps between, so that batch
    and weights are those that the run had. The run stays as it is.

    Example: `avrep replay runs/first --step 1200`
    """
    from avrep.cluster.run import open_streams
    from avrep.replay import replay_step
    from avrep.report.progress import train_progress
    from avrep.report.replay_table import draw_replay, replay_lines, replay_table
    from avrep.trained import read_run_config

    with (
        open_streams(read_run_config(run).data) as open_stream,
        train_progress("replaying") as on_step,
    ):
        found = replay_step(run, step, nearest=nearest, open_stream=open_stream, on_step=on_step)
    for line in replay_lines(found, run):
        print(line)
    Console().print(replay_table(found))
    out = out or run / "replay" / f"step-{step:08d}.png"
    draw_replay(found, out)
    print(f"its clips: {out}")
