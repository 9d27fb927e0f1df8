"""Commands of `avrep` for the vectors of a corpus: making them, and looking among them."""

import math
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from avrep.corpus_commands import Corpus, num_cores
from avrep.errors import ConfigError
from avrep.option_checks import on_this_machine


def embed(
    run: Annotated[Path, typer.Argument(help="A run's folder.")],
    catalog: Corpus,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="A folder; a job that was killed goes on in it.",
            callback=on_this_machine,
        ),
    ] = Path("features"),
    kind: Annotated[
        Literal["video", "audio"] | None,
        typer.Option(help="Which encoder of the run; video, where it has both."),
    ] = None,
    clips: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Clips an item, evenly spaced; 4.")
    ] = None,
    every: Annotated[
        float | None, typer.Option(min=0.01, max=3600, help="Or a clip at every so many seconds.")
    ] = None,
    root: Annotated[
        str | None,
        typer.Option(help="Where the files are now, if they moved; as in training if not given."),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=4096, help="Clips that the encoder sees at a time.")
    ] = 32,
    workers: Annotated[
        int | None,
        typer.Option(min=0, help="All GPUs, or cores, if not given; 0: here, without Ray."),
    ] = None,
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        typer.Option(help="auto: GPUs if there are any; cuda: also those that a cluster starts."),
    ] = "auto",
) -> None:
    """Write a vector for every clip of a corpus: Parquet with key, start_s, end_s and vector.

    Clips have the frames and crops of the run's evaluation, sound the length of a training clip, and
    the newest checkpoint's weights are used. The result does not depend on the number of workers. A killed job is finished by the
    same command again; items that cannot be used are listed in FEATURES/quarantine.

    Example: `avrep embed runs/first corpus.parquet -o features` or, of long videos,
    `avrep embed runs/first corpus.parquet -o features --every 2`
    """
    from avrep.embedding.corpus import embed_corpus, make_here
    from avrep.embedding.job import EmbedConfig
    from avrep.media.catalog import Catalog
    from avrep.pipeline.quarantine import read_quarantine
    from avrep.report.progress import count_progress, waiting
    from avrep.report.quarantine_table import quarantine_summary
    from avrep.sampling.windows import SpacingConfig
    from avrep.trained import read_run_config

    if clips is not None and every is not None:
        raise ConfigError("--clips and --every exclude each other: choose one")
    # A wrong path is told at once, before Ray takes its seconds to start.
    read_run_config(run)
    Catalog.open(catalog)
    spacing = SpacingConfig(every_s=every) if every else SpacingConfig(num_clips=clips or 4)
    config = EmbedConfig(kind=kind, spacing=spacing, root=root, batch_size=batch)
    with ExitStack() as stack:
        if workers == 0:
            progress = stack.enter_context(count_progress("embedding", "items"))
            here = partial(make_here, device=device)
            summary = embed_corpus(run, catalog, out, config, run_parts=here, progress=progress)
        else:
            from avrep.cluster.embed import embed_on_ray
            from avrep.cluster.session import ray_session

            with waiting("starting Ray"):
                can_grow = stack.enter_context(ray_session(workers or num_cores()))
            progress = stack.enter_context(count_progress("embedding", "items"))
            summary = embed_on_ray(
                *(run, catalog, out, config),
                num_workers=workers,
                device=device,
                can_grow=can_grow,
                progress=progress,
            )
    print(f"{summary.line()}; in {out}")
    if summary.num_failed:
        print(f"{quarantine_summary(read_quarantine(out))}; why is in {out / 'quarantine'}")
    print(f"next: avrep search {out} --like FILE")


def search(
    features: Annotated[Path, typer.Argument(help="A folder of avrep embed.")],
    like: Annotated[
        str | None, typer.Option(metavar="FILE[@SECONDS]", help="A clip of a file.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help="An image: a clip that does not move.")] = None,
    sound: Annotated[
        str | None, typer.Option(metavar="FILE[@SECONDS]", help="A clip of a file's sound.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="How many to find.")] = 12,
    one_per_item: Annotated[
        bool, typer.Option("--one-per-item", help="Of each item its nearest clip only.")
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The PNG to write.", callback=on_this_machine)
    ] = Path("nearest.png"),
    run: Annotated[Path | None, typer.Option(help="The run, if it was moved since.")] = None,
    corpus: Annotated[
        Path | None, typer.Option(help="The catalogue, if it was moved since.")
    ] = None,
) -> None:
    """Find the clips nearest to a clip, an image or a sound: a table, and a contact sheet.

    Nearness is the cosine between vectors; every clip is compared. Vectors of pictures can be searched
    by sound, and those of sound by pictures, where the run's objective is segment_avclip.

    Example: `avrep search features --like clip.mp4@12.5` or
    `avrep search features --image photo.jpg -k 20 -o found.png`
    """
    from avrep.embedding.query import Asker
    from avrep.embedding.search import nearest_clips
    from avrep.embedding.store import FeatureStore
    from avrep.report.nearest_sheet import draw_nearest
    from avrep.report.progress import waiting
    from avrep.report.terminal import print_table

    if sum(asked is not None for asked in (like, image, sound)) != 1:
        raise ConfigError("say what to look for: one of --like FILE, --image FILE, --sound FILE")
    place = _place(like or sound or "")
    store = FeatureStore.open(features)
    catalog = store.open_catalog(corpus)
    with waiting("searching"):
        asker = Asker(store, run)
        if like is not None:
            query = asker.like(*place)
        elif sound is not None:
            query = asker.sound(*place)
        else:
            query = asker.image(image or Path())
        hits = nearest_clips(
            store, query.vector, k, project=query.project, one_per_item=one_per_item
        )
    lines = [
        (str(rank), f"{hit.similarity:.4f}", f"{hit.start_s:.2f} - {hit.end_s:.2f}", hit.key)
        for rank, hit in enumerate(hits, start=1)
    ]
    print_table(["", "similarity", "seconds", "item"], lines)
    with waiting("drawing"):
        draw_nearest(query, hits, catalog, out, with_sound=store.facts.kind == "audio")
    print(f"the {len(hits)} nearest of {len(store):,} clips to {query.title}: {out}")


def _place(text: str) -> tuple[Path, float | None]:
    """A file, and where in it: FILE@SECONDS."""
    file, at, seconds = text.rpartition("@")
    if not at or Path(text).is_file():
        return Path(text), None
    try:
        at_s = float(seconds)
    except ValueError:
        at_s = math.nan
    if not 0 <= at_s < math.inf:
        raise ConfigError(
            f"{text}: write it as FILE@SECONDS, counted from its start, e.g. clip.mp4@12.5"
        )
    return Path(file), at_s
