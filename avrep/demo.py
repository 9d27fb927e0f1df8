"""The whole job, end to end: a folder of clips in, a trained and measured encoder out.

OUT/
    corpus/             the embedded corpus, unless --data names another folder
    corpus.parquet      the catalogue, corpus.rejects.csv beside it
    seed0[-fold1]/      a run for each seed or fold; the first has the report over all of them
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from avrep.cluster.run import open_streams
from avrep.config import RunConfig, load_config
from avrep.errors import ConfigError
from avrep.evaluate import Measurement, compare_measurements, find_task, measure_run
from avrep.evaluation.action.split import GroupScope
from avrep.evaluation.aggregate import Over
from avrep.evaluation.protocols import ProtocolConfig
from avrep.evaluation.results import write_rows
from avrep.evaluation.tasks import TaskItems
from avrep.media.catalog import Catalog
from avrep.media.index import index_sources
from avrep.media.synth import write_corpus
from avrep.media.synth_scene import SynthConfig
from avrep.pipeline.stream import OpenStream
from avrep.pretrain import pretrain
from avrep.report.corpus import summarise
from avrep.report.corpus_picture import draw_corpus
from avrep.report.html import write_report
from avrep.report.progress import count_progress, waiting
from avrep.report.recipe import draw_recipe
from avrep.report.terminal import print_results
from avrep.report.train_progress import train_progress

MARK = ".avrep-demo"
_RECIPE = "quickstart.yaml"
_SHOWN = (("linear", "top1"), ("knn", "top1"), ("retrieval", "R@1"), ("instance", "R@1"))


def run_demo(
    data: Path | None,
    out: Path,
    *,
    splits: Path | None = None,
    fold: str = "1",
    group_scope: GroupScope = "class",
    num_seeds: int = 1,
    overrides: Sequence[str] = (),
) -> Path:
    """Index, pretrain, evaluate and report; prints the results and where the report is.

    The encoder is pretrained on the train videos of the task only, without their labels.

    Args:
        data: a folder of clips: class folders, any folder with split files, or no labels
            at all (then the probe is left out); None writes and uses the embedded corpus.
        out: a new folder, or one that an earlier demo wrote, whose runs are replaced.
        splits: folder of split files, see `split_files_task`.
        fold: number of the official split, or "all".
        group_scope: what a group's name gNN means in the split files, see `split_files_task`.
        num_seeds: pretrain this many times, on other seeds.
        overrides: of the recipe, `key=value`.

    Returns:
        The report.

    Raises:
        ConfigError: `out` holds something else, or see the parts.
    """
    if data is None and (splits is not None or fold != "1"):
        raise ConfigError(
            "--splits and --fold are of your own clips; name their folder: --data DIR"
        )
    folds = _folds(fold, splits)
    if len(folds) > 1 and num_seeds > 1:
        raise ConfigError("--fold all and --seeds are measured one at a time; give one of them")
    recipe = _recipe_path()
    load_config(recipe, ["data.catalog=none", *overrides])
    _claim(out)
    catalog_path = _index(data, out)
    measurements: list[Measurement] = []
    runs: list[Path] = []
    protocols = ProtocolConfig()
    own = f"data.catalog={catalog_path}"
    wanted: list[tuple[Path, RunConfig, TaskItems]] = []
    for seed, number in [(s, f) for s in range(num_seeds) for f in folds]:
        config = load_config(recipe, [own, f"seed={seed}", *overrides])
        task = find_task(config, splits_dir=splits, fold=number or 1, group_scope=group_scope)
        name = f"seed{seed}" if number is None else f"seed{seed}-fold{number}"
        wanted.append((out / name, config, task))
    _remove_runs(out)
    with open_streams(load_config(recipe, [own, *overrides]).data) as open_stream:
        for run_dir, recipe_config, task in wanted:
            config = _fit_to(recipe_config, task, run_dir)
            measurements.append(_train_and_measure(config, run_dir, task, protocols, open_stream))
            runs.append(run_dir)
    over: Over = "videos"
    if len(runs) > 1:
        over = "pooled folds" if len(folds) > 1 else "mean of seeds"
    rows = compare_measurements(measurements, protocols=protocols, seed=0, over=over)
    write_rows(runs[0] / "evaluation" / "demo.json", rows)
    with waiting("drawing the report"):
        draw_recipe(load_config(runs[0] / "config.yaml"), runs[0] / "contact_sheet.png")
        draw_corpus(summarise(Catalog.open(catalog_path).table()), runs[0] / "corpus.png")
        report = write_report(runs[0])
    print_results([row for row in rows if (row.protocol, row.metric) in _SHOWN])
    print(f"report: {report}")
    return report


def _train_and_measure(
    config: RunConfig,
    run_dir: Path,
    task: TaskItems,
    protocols: ProtocolConfig,
    open_stream: OpenStream,
) -> Measurement:
    with train_progress(f"pretraining {run_dir.name}") as on_step:
        pretrain(config, run_dir, open_stream=open_stream, on_step=on_step)
    with count_progress("embedding", "items") as progress:
        return measure_run(
            config,
            run_dir,
            task,
            protocols=protocols,
            open_stream=open_stream,
            progress=progress,
        )


def _fit_to(config: RunConfig, task: TaskItems, run_dir: Path) -> RunConfig:
    """The recipe on the task's train videos, with no larger a batch than there are videos."""
    run_dir.mkdir(parents=True)
    keys = Catalog.open(config.data.catalog).keys()
    listed = run_dir / "train_keys.txt"
    listed.write_text("".join(f"{keys[row]}\n" for row in task.train), encoding="utf-8")
    batch_size = min(config.train.batch_size, len(task.train))
    return config.model_copy(
        update={
            "data": config.data.model_copy(update={"keys": str(listed)}),
            "train": config.train.model_copy(update={"batch_size": batch_size}),
        }
    )


def _index(data: Path | None, out: Path) -> Path:
    num_workers = os.cpu_count() or 1
    if data is None:
        data = out / "corpus"
        with count_progress("writing the embedded corpus", "files") as progress:
            write_corpus(data, SynthConfig(), num_workers=num_workers, progress=progress)
    elif not data.is_dir():
        raise ConfigError(f"--data {data}: no such folder")
    with count_progress("indexing", "files") as progress:
        summary = index_sources([str(data)], out / "corpus.parquet", progress=progress)
    for notice in summary.notices:
        print(notice)
    print(f"{summary.num_items} items, {summary.num_rejects} files rejected: {summary.catalog}")
    return summary.catalog


def _claim(out: Path) -> None:
    """Take `out` over if it is new or a demo's."""
    if out.exists() and any(out.iterdir()) and not (out / MARK).is_file():
        raise ConfigError(f"{out} holds files that no demo wrote; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()


def _remove_runs(out: Path) -> None:
    """Those of an earlier demo, when nothing is left that could be refused."""
    for run in out.glob("seed*"):
        shutil.rmtree(run)


def _folds(fold: str, splits: Path | None) -> list[int | None]:
    if splits is None or (splits / "test.csv").is_file():
        return [None]
    if fold == "all":
        found = [int(path.stem[-2:]) for path in sorted(splits.glob("testlist[0-9][0-9].txt"))]
        if not found:
            raise ConfigError(f"no testlist01.txt in {splits}; --splits names UCF101-style lists")
        return [*found]
    if not fold.isdigit() or int(fold) < 1:
        raise ConfigError(f"--fold {fold}: give the number of an official split, or all")
    return [int(fold)]


def _recipe_path() -> Path:
    """The quickstart recipe: in the installed package, or in the checkout beside it."""
    package = Path(__file__).parent
    for folder in (package / "configs", package.parent / "configs"):
        if (folder / _RECIPE).is_file():
            return folder / _RECIPE
    raise ConfigError(f"configs/{_RECIPE} is missing from this installation; install avrep again")
