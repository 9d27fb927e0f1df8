"""Commands of `avrep` for results on tasks of data sets."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from avrep.option_checks import on_this_machine
from avrep.run_commands import Groups, Overrides

_TASK = "With --task"
_FEW = 3


def evaluate(
    encoder: Annotated[
        str, typer.Argument(help="A run's folder, or with --task any encoder, see below.")
    ],
    splits: Annotated[
        Path | None,
        typer.Option(help="Folder of split files; the catalogue's labels if not given."),
    ] = None,
    fold: Annotated[int | None, typer.Option(min=1, help="Which official split.")] = None,
    groups: Groups = "class",
    task: Annotated[
        str | None, typer.Option(help="A task of a data set: ucf101, superb/ks, sync, ... or all.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="The data set's folder.", rich_help_panel=_TASK)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Where results go; RUN/evaluation, or evaluation/ENCODER.",
            callback=on_this_machine,
            rich_help_panel=_TASK,
        ),
    ] = None,
    protocol: Annotated[
        Literal["frozen", "attentive", "finetune"],
        typer.Option(
            help="Of action recognition: what is done with the encoder.", rich_help_panel=_TASK
        ),
    ] = "frozen",
    recipe: Annotated[
        str,
        typer.Option(
            help="Whose fine-tuning or attentive probe; a wrong name lists them.",
            rich_help_panel=_TASK,
        ),
    ] = "",
    lrs: Annotated[
        str,
        typer.Option(
            help="Rates to choose from on held-out data: 1e-1,1e-2 or superb.",
            rich_help_panel=_TASK,
        ),
    ] = "",
    own_data: Annotated[
        bool,
        typer.Option(
            "--own-data",
            help="Other data in the official layout: counts differ.",
            rich_help_panel=_TASK,
        ),
    ] = False,
    select_on_test: Annotated[
        bool,
        typer.Option(
            "--select-on-test",
            help="superb/asv, superb/sd: choose on the test as the public toolkit does; too good.",
            rich_help_panel=_TASK,
        ),
    ] = False,
    actors: Annotated[
        int, typer.Option(min=0, help="Ray actors that decode.", rich_help_panel=_TASK)
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of every draw.", rich_help_panel=_TASK)] = 0,
    overrides: Overrides = None,
) -> None:
    """Measure a run's encoder against the same encoder untrained; or any encoder by a task.

    With --task the encoder is a run's folder, `untrained:RUN` or `python:MODULE:NAME`; for sound also
    `logmel`, `hf:FOLDER` or `torchaudio:PIPELINE`; for pictures also `colour-histogram`. `--set`
    then changes the task's own config. `--task all` takes every task that has a folder of its name
    below --root; each gets the options that it has a use for. What was stopped goes on where it was.

    Example: `avrep evaluate runs/first`, `avrep evaluate runs/first --task ucf101 --root UCF101/` or
    `avrep evaluate logmel --task superb/ks --root speech_commands/`
    """
    from avrep.cluster.run import evaluate_run
    from avrep.errors import AvrepError, ConfigError, LayoutError
    from avrep.report.terminal import print_results

    if task is None:
        given = {
            "--root": root is not None,
            "--out": out is not None,
            "--protocol": protocol != "frozen",
            "--recipe": bool(recipe),
            "--lrs": bool(lrs),
            "--own-data": own_data,
            "--select-on-test": select_on_test,
            "--actors": actors > 0,
            "--seed": seed > 0,
        }
        for flag in (flag for flag, is_given in given.items() if is_given):
            raise ConfigError(f"{flag} is of --task; name one, or see avrep evaluate --help")
        rows = evaluate_run(
            Path(encoder),
            splits=splits,
            fold=fold or 1,
            group_scope=groups,
            overrides=overrides or [],
        )
        print_results(rows)
        print(f"next: avrep report {encoder}")
        return
    if root is None:
        raise ConfigError(f"--task {task} needs the data set's folder: --root DIR")
    if splits is not None:
        raise ConfigError("--splits is of a run's own catalogue; --task has the data set's own")
    from avrep.cluster.run import evaluate_tasks
    from avrep.evaluate_task import read_rates
    from avrep.evaluation.result_files import evaluation_folder
    from avrep.evaluation.task_tables import tabulate
    from avrep.report.terminal import print_tasks
    from avrep.task_request import TaskRequest, tasks_below, with_fitting_options

    out = out or evaluation_folder(encoder)
    wanted = tasks_below(root) if task == "all" else ((task, root),)
    requests = tuple(
        TaskRequest(
            encoder=encoder,
            task=name,
            root=folder,
            out=out,
            protocol=protocol,
            recipe=recipe,
            folds=() if fold is None else (fold,),
            group_scope=groups,
            lrs=read_rates(lrs),
            own_data=own_data,
            select_on_test=select_on_test,
            overrides=tuple(overrides or ()),
            seed=seed,
        )
        for name, folder in wanted
    )
    if task == "all":
        requests = with_fitting_options(requests)
    refused: dict[str, AvrepError | OSError] = {}

    def on_refused(request: TaskRequest, error: AvrepError | OSError) -> None:
        refused[request.task] = error

    results = evaluate_tasks(
        requests,
        num_decode_actors=actors,
        on_refused=on_refused if task == "all" else None,
    )
    if results:
        # Of many results the leading numbers; the files have all.
        print_tasks(tabulate(results, all_metrics=len(results) <= _FEW))
        print(f"results in {out / 'results'}; next: avrep compare {out} OTHER")
    for name, error in refused.items():
        told = error.fault if isinstance(error, LayoutError) else str(error)
        print(f"not measured: {name}: {' '.join(told.split())}", file=sys.stderr)
    if refused:
        raise typer.Exit(1)


def compare(
    places: Annotated[
        list[str],
        typer.Argument(help="Runs' folders, other encoders as evaluated, or evaluation folders."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="The new files: OUT.md, OUT.tex and OUT.png.",
            callback=on_this_machine,
        ),
    ] = Path("comparison"),
    every: Annotated[
        bool, typer.Option("--all-metrics", help="Every metric; else each task's leading one.")
    ] = False,
) -> None:
    """Put results of several encoders into one table, with published figures, and a plot.

    Example: `avrep compare runs/first untrained:runs/first logmel -o comparison`
    """
    from avrep.evaluation.result_files import find_results
    from avrep.evaluation.task_tables import latex, markdown, tabulate
    from avrep.report.task_plot import draw_tasks
    from avrep.report.terminal import print_tasks

    table = tabulate(find_results(places), all_metrics=every)
    print_tasks(table)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.with_name(f"{out.name}.md").write_text(markdown(table), encoding="utf-8")
    out.with_name(f"{out.name}.tex").write_text(latex(table), encoding="utf-8")
    draw_tasks(table, out.with_name(f"{out.name}.png"))
    print(f"{out}.md, {out}.tex, {out}.png")
