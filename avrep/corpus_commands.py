"""Commands of `avrep` that make something new of a whole corpus, on all cores."""

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from avrep.option_checks import on_this_machine

Corpus = Annotated[Path, typer.Argument(help="A catalogue of avrep index.")]
Root = Annotated[str | None, typer.Option(help="Where the files are now, if they moved.")]
Workers = Annotated[int | None, typer.Option(min=1, help="All cores if not given.")]


def num_cores() -> int:
    return os.cpu_count() or 1


def pack(
    catalog: Corpus,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="A folder; a pack that was killed goes on in it.",
            callback=on_this_machine,
        ),
    ] = Path("packed"),
    copy: Annotated[bool, typer.Option("--copy", help="Keep every byte, code nothing.")] = False,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a value of PackConfig."),
    ] = None,
    root: Root = None,
    workers: Workers = None,
) -> None:
    """Write tar shards that decode fast, and the catalogue that points into them.

    Each item is coded anew, small and with frames that a stride can pass over, or copied with
    --copy. Values that may be set: short_side_px=128, gop_frames=16, num_b_frames=3 (the stride of
    training less one), crf=20, audio_hz=16000, shard_bytes, seed (null keeps the order). A killed
    pack is finished by the same command again.

    Example: `avrep pack corpus.parquet -o packed` or
    `avrep pack corpus.parquet -o packed --set short_side_px=256 --set audio_hz=null`
    """
    from avrep.cluster.pack import CATALOG, REJECTS, pack_corpus
    from avrep.cluster.session import ray_session
    from avrep.config import read_overrides
    from avrep.media.pack_plan import PackConfig
    from avrep.report.progress import count_progress, waiting

    mode = "copy" if copy else "transcode"
    config = read_overrides(PackConfig(mode=mode), overrides or [])
    with ExitStack() as stack:
        with waiting("starting Ray"):
            stack.enter_context(ray_session(workers or num_cores()))
        progress = stack.enter_context(count_progress("packing", "items"))
        summary = pack_corpus(
            catalog, out, config, root=root, num_workers=workers, progress=progress
        )
    print(f"{summary.num_items} items in {summary.num_shards} shards; catalogue {out / CATALOG}")
    if summary.num_rejects:
        num_items = summary.num_items + summary.num_rejects
        print(
            f"{summary.num_rejects} of {num_items} items rejected, with reasons, in {out / REJECTS}"
        )
    if summary.num_lost_frames or summary.num_bad_packets:
        print(
            f"{summary.num_bad_packets} damaged packets passed over and "
            f"{summary.num_lost_frames} frames lost, as on any decoding of the source"
        )


def label(
    catalog: Corpus,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="A folder; labels that were killed go on in it.",
            callback=on_this_machine,
        ),
    ] = Path("labels"),
    clusters: Annotated[int, typer.Option(min=2, help="HuBERT: 100, then 500 of a layer.")] = 100,
    run: Annotated[
        Path | None, typer.Option("--from", help="A run of HuBERT; MFCCs if not given.")
    ] = None,
    layer: Annotated[int, typer.Option(min=0, help="Of its encoder, from 1 on.")] = 6,
    standardise: Annotated[
        bool, typer.Option("--standardise", help="Each item's features first; for few speakers.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample and of k-means.")] = 0,
    root: Root = None,
    workers: Workers = None,
) -> None:
    """Give every frame of a corpus's sound a cluster, for HuBERT to tell from the frames around it.

    Clusters are found on a tenth of the items, or on all of a small corpus. A killed labelling is
    finished by the same command again.

    Example: `avrep label corpus.parquet -o labels --clusters 100`, and from what was trained on
    these `avrep label corpus.parquet -o labels2 --from runs/hubert --layer 6 --clusters 500`
    """
    from avrep.cluster.label import label_on_ray
    from avrep.cluster.session import ray_session
    from avrep.labelling.job import LabelConfig
    from avrep.media.catalog import Catalog
    from avrep.report.progress import count_progress, waiting

    # A wrong path is told at once, before Ray takes its seconds to start.
    Catalog.open(catalog)
    config = LabelConfig(
        num_clusters=clusters, run=run, layer=layer, standardise=standardise, seed=seed
    )
    with ExitStack() as stack:
        with waiting("starting Ray"):
            stack.enter_context(ray_session(workers or num_cores()))
        progress = stack.enter_context(count_progress("labelling", "items"))
        summary = label_on_ray(
            catalog, out, config, root=root, num_workers=workers, progress=progress
        )
    for line in summary.lines():
        print(line)
    print(f"labels in {out}; next: avrep train CONFIG --set objective.labels={out}")
