"""Commands of `avrep` that make a run and look into it."""

import signal
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from avrep.option_checks import on_this_machine

Groups = Annotated[
    Literal["class", "corpus"],
    typer.Option(help="What videos named gNN share: a recording in a class, or across classes."),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a config value; may be repeated."),
]


def train(
    config: Annotated[Path, typer.Argument(help="A YAML config; see configs/.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where to write.", callback=on_this_machine)
    ] = Path("runs/run"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint.")
    ] = False,
    resume_if_begun: Annotated[
        bool,
        typer.Option(
            "--resume-if-begun",
            help="Go on if there is a checkpoint: for a command that is started again when it dies.",
        ),
    ] = False,
    overrides: Overrides = None,
) -> None:
    """Pretrain an encoder.

    Example: `avrep train configs/quickstart.yaml --set data.catalog=corpus.parquet -o runs/first`
    """
    from avrep.assemble import checkpoint_store
    from avrep.cluster.run import train_run
    from avrep.config import load_config

    loaded = load_config(config, overrides or [])
    has_begun = resume_if_begun and bool(checkpoint_store(loaded, out).checkpoints())
    ended_by = train_run(loaded, out, resume=resume or has_begun)
    if ended_by is not None:
        name = signal.Signals(ended_by).name
        print(f"ended by {name}, with a checkpoint; the same command goes on with --resume")
        # As a shell reports a command that a signal ended.
        raise typer.Exit(128 + ended_by)
    # Without a task, encoders of video alone are evaluated.
    print(f"run in {out}; next: avrep {'evaluate' if loaded.video_encoder else 'report'} {out}")


def report(run: Annotated[Path, typer.Argument(help="A run's folder.")]) -> None:
    """Write one HTML file with curves, results, what the model saw and the corpus's health.

    Example: `avrep report runs/first`
    """
    from avrep.report.html import write_report

    print(f"report: {write_report(run)}")


def replay(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    step: Annotated[int, typer.Option(min=1, help="Which step, as metrics.jsonl counts.")],
    nearest: Annotated[
        bool,
        typer.Option("--nearest", help="Take no steps between: the nearest checkpoint's weights."),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The PNG of its clips; in the run's folder if not given.",
            callback=on_this_machine,
        ),
    ] = None,
) -> None:
    """Make a step of a run again and take it apart: losses, gradients, layers, and the clips.

    It starts from the newest checkpoint before the step and takes the steps between, so that batch
    and weights are those that the run had. The run stays as it is.

    Example: `avrep replay runs/first --step 1200`
    """
    from avrep.cluster.run import open_streams
    from avrep.replay import replay_step
    from avrep.report.replay_table import draw_replay, replay_lines, replay_table
    from avrep.report.train_progress import train_progress
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
