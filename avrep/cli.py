"""The `avrep` command."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from avrep.corpus_commands import label, num_cores, pack
from avrep.errors import AvrepError, LayoutError
from avrep.option_checks import on_this_machine
from avrep.run_commands import Groups, Overrides, replay, report, train
from avrep.search_commands import embed, search
from avrep.task_commands import compare, evaluate

if TYPE_CHECKING:
    from avrep.pipeline.quarantine import QuarantineEntry

app = typer.Typer(
    name="avrep",
    help="Self-supervised video and audio encoders, from a folder of clips to a measured encoder.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)

Out = Annotated[Path, typer.Option("--out", "-o", help="Where to write.", callback=on_this_machine)]


def main(given: Sequence[str] | None = None) -> None:
    """Run the command line; a person's mistake is one line on stderr and exit code 2.

    Args:
        given: the arguments; those of the process if None.
    """
    given = sys.argv[1:] if given is None else given
    debug = "--debug" in given
    arguments = [argument for argument in given if argument != "--debug"]
    try:
        app(arguments)
    except (AvrepError, OSError) as error:
        if debug:
            raise
        told = error.fault if isinstance(error, LayoutError) else str(error)
        print(f"avrep: {' '.join(told.split())}", file=sys.stderr)
        if isinstance(error, LayoutError):
            print(f"Expected:\n{error.tree}", file=sys.stderr)
        sys.exit(2)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Self-supervised video and audio encoders, from a folder of clips to a measured encoder."""
    del debug  # Read from the command line by `main`, so that it may stand anywhere.


@app.command()
def index(
    sources: Annotated[list[str], typer.Argument(help="Folders, files, .tar shards, URLs.")],
    out: Out = Path("corpus.parquet"),
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; all cores if not given.")
    ] = None,
) -> None:
    """Probe every file once and write the catalogue, and beside it the table of rejects.

    Where all files are rejected there is no catalogue, and the exit status is 2.

    Example: `avrep index videos/ -o corpus.parquet`
    """
    from avrep.media.index import index_sources
    from avrep.report.progress import count_progress

    with count_progress("indexing", "files") as progress:
        summary = index_sources(sources, out, num_workers=workers, progress=progress)
    print(f"{summary.num_items} items in {summary.catalog}")
    for notice in summary.notices:
        print(notice)
    if summary.num_rejects:
        num_files = summary.num_items + summary.num_rejects
        print(
            f"{summary.num_rejects} of {num_files} files rejected, with reasons, in {summary.rejects}"
        )
    if summary.num_passed_over:
        print(f"{summary.num_passed_over} files passed over: neither media nor .tar")


@app.command()
def inspect(
    catalog: Annotated[Path | None, typer.Argument(help="A catalogue of avrep index.")] = None,
    recipe: Annotated[Path | None, typer.Option(help="A config: draw what its model sees.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The PNG to write.", callback=on_this_machine)
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="Items on the recipe's sheet.")] = 4,
    overrides: Overrides = None,
) -> None:
    """Show what is in a corpus, as a table and a PNG; or draw what a recipe's model will see.

    Example: `avrep inspect corpus.parquet` or
    `avrep inspect --recipe configs/quickstart.yaml --set data.catalog=corpus.parquet`
    """
    from avrep.errors import ConfigError

    if recipe is not None:
        from avrep.config import load_config
        from avrep.report.progress import waiting
        from avrep.report.recipe import draw_recipe

        if catalog is not None:
            overrides = [*(overrides or []), f"data.catalog={catalog}"]
        out = out or Path("recipe.png")
        with waiting("decoding and drawing"):
            draw_recipe(load_config(recipe, overrides or []), out, num_items=items)
        print(f"what the model sees: {out}")
        return
    if catalog is None:
        raise ConfigError("name a catalogue, or a config with --recipe; see avrep inspect --help")
    from avrep.media.catalog import Catalog
    from avrep.report.corpus import summarise, summary_rows
    from avrep.report.corpus_picture import draw_corpus
    from avrep.report.terminal import print_table

    summary = summarise(Catalog.open(catalog).table())
    print_table(["", str(catalog)], summary_rows(summary))
    out = out or catalog.with_suffix(".png")
    draw_corpus(summary, out)
    print(f"the same as a picture: {out}")


@app.command()
def synth(
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    videos: Annotated[int | None, typer.Option(min=1, help="Labelled videos.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed, another corpus.")] = 0,
) -> None:
    """Write the embedded corpus: labelled moving shapes, timing clips, speech-like sounds.

    Example: `avrep synth corpus/`
    """
    from avrep.media.synth import write_corpus
    from avrep.media.synth_scene import SynthConfig
    from avrep.report.progress import count_progress

    config = SynthConfig(seed=seed)
    if videos is not None:
        config = config.model_copy(update={"num_videos": videos})
    with count_progress("writing", "files") as progress:
        write_corpus(out, config, num_workers=num_cores(), progress=progress)
    print(f"corpus in {out}; next: avrep index {out} -o corpus.parquet")


app.command()(train)
app.command()(evaluate)
app.command()(report)
app.command()(pack)
app.command()(label)
app.command()(replay)
app.command()(embed)
app.command()(search)
app.command()(compare)


@app.command()
def quarantine(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    keys: Annotated[
        list[str] | None, typer.Argument(help="Only these items, named as in the table.")
    ] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Decode them again; release those that work now.")
    ] = False,
    clear: Annotated[bool, typer.Option("--clear", help="Forget them.")] = False,
    corpus: Annotated[str, typer.Option(help="Which of a mixture's corpora.")] = "data",
) -> None:
    """Show the items that a run could not use and passes over, and why.

    With `--retry` or `--clear`, items are released: a run that is resumed tries them again, and so
    reads other clips than it would have read. Not while the run is going on.

    Example: `avrep quarantine runs/first` or `avrep quarantine runs/first --retry`
    """
    from avrep.assemble import corpus_folder
    from avrep.errors import ConfigError
    from avrep.pipeline.quarantine import read_quarantine, release
    from avrep.report.quarantine_table import count_items, quarantine_summary, quarantine_table

    if retry and clear:
        raise ConfigError("--retry and --clear exclude each other: choose one")
    if not (run / "config.yaml").is_file():
        raise ConfigError(f"no run at {run}; make one: avrep train CONFIG --out {run}")
    folder = corpus_folder(run, corpus)
    if not folder.is_dir():
        raise ConfigError(f"{run} has no corpus {corpus}; see corpora in {run / 'config.yaml'}")
    if clear and not keys:
        print(f"{count_items(release(folder))} forgotten in {run}; a resumed run tries them again")
        return
    entries = read_quarantine(folder)
    unknown = set(keys or ()) - {entry.key for entry in entries}
    if unknown:
        raise ConfigError(f"{min(unknown)} is not quarantined in {run}; see avrep quarantine {run}")
    if keys:
        entries = [entry for entry in entries if entry.key in keys]
    if not entries:
        print(f"nothing is quarantined in {run}")
        return
    if clear:
        print(f"{count_items(release(folder, keys))} forgotten; a resumed run tries them again")
        return
    if retry:
        usable = _retry(run, corpus, entries)
        release(folder, usable)
        entries = [entry for entry in entries if entry.key not in usable]
        print(f"{count_items(len(usable))} released; a resumed run tries them again")
    if entries:
        Console().print(quarantine_table(entries))
        print(quarantine_summary(entries))


@app.command()
def ledger(run: Annotated[Path, typer.Argument(help="A run's folder.")]) -> None:
    """Check that every planned item reached the trainer once, in order; exit status 1 if not.

    The plan is computed again from the run's config and compared with what the run wrote down.

    Example: `avrep ledger runs/first`
    """
    from avrep.report.ledger_table import audit_run, ledger_table, ledger_verdict
    from avrep.report.progress import count_progress

    with count_progress("checking", "steps") as progress:
        reports = audit_run(run, progress)
    console = Console()
    for name, found in reports.items():
        if len(reports) > 1:
            console.print(f"[bold]{name}[/]")
        console.print(ledger_table(found))
        style = "green" if found.is_whole else "bold red"
        console.print(ledger_verdict(found), style=style, highlight=False)
    raise typer.Exit(0 if all(found.is_whole for found in reports.values()) else 1)


def _retry(run: Path, corpus: str, entries: Sequence["QuarantineEntry"]) -> tuple[str, ...]:
    """The keys of the items that can be decoded now, on decode actors."""
    from avrep.assemble import build_objective, training_sources
    from avrep.cluster.run import open_streams
    from avrep.pipeline.quarantine_retry import retry_items
    from avrep.report.progress import count_progress
    from avrep.trained import read_run_config

    config = read_run_config(run)
    source = training_sources(config, build_objective(config))[corpus]
    # Never in this process: some of these items may end it, or never return.
    num_actors = max(1, config.data.num_decode_actors)
    data = config.data.model_copy(update={"num_decode_actors": num_actors})
    with open_streams(data) as open_stream, count_progress("retrying", "items") as progress:
        usable, _ = retry_items(source, entries, open_stream, progress)
    return usable


@app.command()
def demo(
    data: Annotated[
        Path | None, typer.Option(help="Your own folder, instead of the embedded corpus.")
    ] = None,
    splits: Annotated[Path | None, typer.Option(help="Folder of split files for --data.")] = None,
    fold: Annotated[str, typer.Option(help="Which official split, or all.")] = "1",
    groups: Groups = "class",
    seeds: Annotated[int, typer.Option(min=1, help="Pretrain this many times.")] = 1,
    out: Out = Path("runs/demo"),
    overrides: Overrides = None,
) -> None:
    """The whole job in a few minutes: index, pretrain, evaluate, report.

    Runs that an earlier demo left in --out are replaced.

    Example: `avrep demo` or `avrep demo --data videos/ --splits splits/ --fold all`
    """
    from avrep.demo import run_demo

    run_demo(
        data,
        out,
        splits=splits,
        fold=fold,
        group_scope=groups,
        num_seeds=seeds,
        overrides=overrides or [],
    )


@app.command()
def doctor() -> None:
    """Check versions, decoders, GPUs, Ray and memory; say what is missing and how to mend it.

    Example: `avrep doctor`
    """
    from avrep.report.doctor import examine
    from avrep.report.findings import exit_status, findings_table
    from avrep.report.progress import waiting

    with waiting("trying each part"):
        findings = examine()
    Console().print(findings_table(findings))
    raise typer.Exit(exit_status(findings))
