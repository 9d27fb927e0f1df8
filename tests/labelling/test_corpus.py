"""A corpus's labels are those that its features and centroids give, whoever makes them in whatever
order, killed in between or not; and HuBERT trains on them, twice.
"""

import csv
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pytest
import torch

from avrep.assemble import build_objective
from avrep.config import RunConfig, parse_config
from avrep.errors import ConfigError, ShardError
from avrep.labelling import corpus, job, tasks
from avrep.labelling.corpus import LabelSummary, Task, label_corpus
from avrep.labelling.job import LabelConfig, LabelJob, sampled_rows
from avrep.media import label_store
from avrep.media.catalog import Catalog, write_catalog
from avrep.media.index import index_sources
from avrep.media.label_store import LabelStore
from avrep.media.synth import write_corpus
from avrep.media.synth_scene import SynthConfig
from avrep.media.whole_sound import read_whole_sound
from avrep.models.frame_features import FrameFeatures, mfcc_features
from avrep.models.mfcc import mfcc_with_deltas
from avrep.models.waveform import Waveform
from avrep.pretrain import pretrain
from avrep.trained import checkpoints, load_trained

CONFIG = LabelConfig(num_clusters=4, seed=3)
DAMAGED, SOUNDLESS = 1, 3


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Five recordings; of one only the first bytes are left, and one is said to have no sound."""
    folder = tmp_path_factory.mktemp("speech")
    config = SynthConfig(num_videos=0, num_flash_beep=0, num_speech=5, duration_s=1.0)
    write_corpus(folder / "corpus", config)
    index_sources([str(folder / "corpus")], folder / "all.parquet", num_workers=1)
    whole = Catalog.open(folder / "all.parquet")
    items = list(whole)
    items[DAMAGED] = replace(items[DAMAGED], length_bytes=20)
    items[SOUNDLESS] = replace(items[SOUNDLESS], audio=None)
    write_catalog(folder / "corpus.parquet", items, whole.root)
    return Catalog.open(folder / "corpus.parquet")


class _InThisProcess:
    """Stands for a process of its own."""

    def __init__(self, function: Callable[..., Any], _max_memory_bytes: int) -> None:
        self._function = function

    def call(self, _deadline_s: float, *args: Any) -> Any:
        return self._function(*args)

    def __enter__(self) -> "_InThisProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows a shard, read in this process."""
    for module in (label_store, job, tasks, corpus):
        monkeypatch.setattr(module, "ROWS_PER_SHARD", 2)
    monkeypatch.setattr(tasks, "OwnProcess", _InThisProcess)


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.usefixtures("small_shards")
def test_each_frame_has_the_number_of_its_nearest_centroid(
    catalog: Catalog, tmp_path: Path
) -> None:
    told: list[tuple[int, int]] = []
    out = tmp_path / "labels"
    summary = label_corpus(catalog.path, out, CONFIG, progress=lambda *now: told.append(now))
    centroids = np.load(out / "centroids.npy", allow_pickle=False).astype(np.float64)
    assert centroids.shape == (4, 39)
    store = LabelStore.open(out)
    store.check(catalog)
    num_labels = 0
    for row, item in enumerate(catalog):
        found = store[row]
        if row in (DAMAGED, SOUNDLESS):
            assert found is None
            continue
        clip = read_whole_sound(item, catalog.root, 16000)
        assert clip.audio is not None
        frames = mfcc_with_deltas(torch.from_numpy(clip.audio)).numpy()
        nearest = [((frame - centroids) ** 2).sum(axis=1).argmin() for frame in frames]
        assert found is not None
        assert found.labels.tolist() == nearest
        assert found.first_s == clip.audio_start_s
        num_labels += len(nearest)
    assert (store.facts.rate_hz, store.facts.num_clusters, store.facts.seed) == (100, 4, 3)
    assert store.facts.features == {"kind": "mfcc", "standardise": False, "sample_share": 0.1}
    assert (summary.num_rows, summary.num_soundless, summary.num_failed) == (5, 1, 1)
    assert (summary.num_labels, summary.num_clusters, summary.num_used) == (num_labels, 4, 4)
    assert 1 < summary.perplexity <= 4
    with (out / "failures.csv").open(encoding="utf-8", newline="") as file:
        (failure,) = csv.DictReader(file)
    assert failure["key"] == catalog[DAMAGED].key
    # Four rows have sound, all are sampled, and then all five are read.
    assert told[0] == (0, 9)
    assert told[-1] == (9, 9)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {path.name for path in out.iterdir()} == {
        *("labels.json", "centroids.npy", "failures.csv"),
        *(f"shard-00000{shard}.arrow" for shard in range(3)),
    }


@pytest.mark.usefixtures("small_shards")
def test_standardised_labels_are_of_each_items_own_level(catalog: Catalog, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"standardise": True})
    label_corpus(catalog.path, tmp_path / "labels", config)
    centroids = np.load(tmp_path / "labels" / "centroids.npy", allow_pickle=False)
    store = LabelStore.open(tmp_path / "labels")
    assert store.facts.features["standardise"] is True
    for row in (0, 4):
        clip = read_whole_sound(catalog[row], catalog.root, 16000)
        assert clip.audio is not None
        frames = mfcc_with_deltas(torch.from_numpy(clip.audio)).double().numpy()
        frames = (frames - frames.mean(axis=0)) / np.sqrt(frames.var(axis=0) + 1e-5)
        nearest = [((frame - centroids) ** 2).sum(axis=1).argmin() for frame in frames]
        own = store[row]
        assert own is not None
        assert own.labels.tolist() == nearest
    with pytest.raises(
        ConfigError, match=r"holds labels of other features: standardise True \(now False\)"
    ):
        label_corpus(catalog.path, tmp_path / "labels", CONFIG)


@pytest.mark.usefixtures("small_shards")
def test_order_and_kills_do_not_matter_and_nothing_is_made_twice(
    catalog: Catalog, tmp_path: Path
) -> None:
    whole = label_corpus(catalog.path, tmp_path / "whole", CONFIG)
    made: list[int] = []

    def cut(task: Task, shards: Sequence[int]) -> Iterator[int]:
        """Backwards, and killed after every task."""
        for shard in reversed(shards):
            made.append(shard)
            yield task(shard)
            raise KeyboardInterrupt

    for _ in range(6):
        with pytest.raises(KeyboardInterrupt):
            label_corpus(catalog.path, tmp_path / "cut", CONFIG, run_tasks=cut)
        with pytest.raises(ConfigError, match="is not finished; start the same avrep label again"):
            LabelStore.open(tmp_path / "cut")
    assert label_corpus(catalog.path, tmp_path / "cut", CONFIG, run_tasks=cut) == whole
    assert made == [2, 1, 0, 2, 1, 0]
    assert label_corpus(catalog.path, tmp_path / "cut", CONFIG, run_tasks=cut) == whole
    assert _contents(tmp_path / "cut") == _contents(tmp_path / "whole")
    assert LabelStore.open(tmp_path / "cut")[4] is not None


@pytest.mark.usefixtures("small_shards")
def test_files_that_moved_are_read_where_they_are(catalog: Catalog, tmp_path: Path) -> None:
    label_corpus(catalog.path, tmp_path / "before", CONFIG)
    write_catalog(tmp_path / "moved.parquet", list(catalog), "/gone")
    with pytest.raises(ShardError):
        label_corpus(tmp_path / "moved.parquet", tmp_path / "lost", CONFIG)
    label_corpus(tmp_path / "moved.parquet", tmp_path / "found", CONFIG, root=catalog.root)
    assert _contents(tmp_path / "found") == _contents(tmp_path / "before")


@pytest.mark.usefixtures("small_shards")
def test_a_folder_of_something_else_is_refused(
    catalog: Catalog, synth_catalog: Catalog, tmp_path: Path
) -> None:
    label_corpus(catalog.path, tmp_path / "labels", CONFIG)
    for path, changes, told in (
        (catalog.path, {"num_clusters": 5}, "holds labels of other num_clusters"),
        (catalog.path, {"seed": 4}, "holds labels of other seed"),
        (synth_catalog.path, {}, "holds labels of another catalogue; name a new folder"),
    ):
        with pytest.raises(ConfigError, match=told):
            label_corpus(path, tmp_path / "labels", CONFIG.model_copy(update=changes))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no labels; name a new folder"):
        label_corpus(catalog.path, tmp_path / "other", CONFIG)


@pytest.mark.usefixtures("small_shards")
def test_a_store_that_is_down_is_no_fault_of_the_rows(catalog: Catalog, tmp_path: Path) -> None:
    write_catalog(tmp_path / "lost.parquet", catalog, str(tmp_path / "nowhere"))
    with pytest.raises(ShardError, match=r"2 of 2 rows .*; when the storage is back, start the"):
        label_corpus(tmp_path / "lost.parquet", tmp_path / "labels", CONFIG)


def _features(width: int, rate_hz: int = 100) -> FrameFeatures:
    return FrameFeatures(width=width, hop_samples=16000 // rate_hz, extract=mfcc_features().extract)


def test_the_sample_is_a_tenth_or_enough_or_what_memory_holds(
    synth_catalog: Catalog, tmp_path: Path
) -> None:
    items = [replace(synth_catalog[i % 20], key=f"{i}", duration_s=10.0) for i in range(1000)]
    write_catalog(tmp_path / "c.parquet", items, synth_catalog.root)

    def rows(features: FrameFeatures, **changes: object) -> list[int]:
        config = LabelConfig.model_validate({"num_clusters": 50, **changes})
        many = LabelJob(catalog=Catalog.open(tmp_path / "c.parquet"), out=tmp_path, config=config)
        return sampled_rows(many, features).tolist()

    sample = rows(_features(39))
    assert len(sample) == 100
    assert sample == sorted(set(sample))
    assert rows(_features(39)) == sample
    assert rows(_features(39), seed=1) != sample
    # 1,000 frames a cluster: 500,000 frames of the corpus's million.
    assert 500 <= len(rows(_features(39), num_clusters=500)) <= 501
    # 2 GiB of 50,000 numbers a frame are 10,737 frames, of ten items.
    assert len(rows(_features(50_000))) == 10


def _run_config(catalog: Catalog, folder: Path, **objective: object) -> RunConfig:
    tree = {
        "data": {"catalog": str(catalog.path), "num_decode_actors": 0},
        "audio_encoder": {"kind": "waveform", "size": "tiny"},
        "objective": {
            "kind": "hubert",
            "labels": str(folder),
            "sampler": {"duration_s": 0.5, "min_s": 0.4},
            "num_classes": 4,
            "mask_length": 3,
            "projection_width": 8,
            **objective,
        },
        "train": {
            "batch_size": 2,
            "num_steps": 2,
            "optim": {"name": "adamw", "lr": 0.001},
            "device": "cpu",
            "num_threads": 1,
            "log_every_steps": 1,
            "checkpoint_every_steps": 2,
        },
        "seed": 1,
    }
    return parse_config(tree, "test")


@pytest.mark.usefixtures("small_shards")
def test_a_second_iteration_trains_on_a_layer_of_the_first(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    label_corpus(catalog.path, "one", CONFIG)
    losses: list[float] = []
    # The folder as a person in this one names it; the run finds it from anywhere.
    first = _run_config(catalog, Path("one"))
    pretrain(first, Path("run1"), on_step=lambda record: losses.append(record.result.loss))
    monkeypatch.chdir("/")

    second = LabelConfig(num_clusters=6, run=tmp_path / "run1", layer=2)
    summary = label_corpus(catalog.path, tmp_path / "two", second)
    assert isinstance(summary, LabelSummary)
    store = LabelStore.open(tmp_path / "two")
    facts = store.facts
    assert (facts.rate_hz, facts.num_clusters) == (50, 6)
    assert facts.features["kind"] == "layer"
    assert facts.features["run"] == "run1"
    objective = build_objective(first)
    load_trained(tmp_path / "run1", objective)
    encoder = objective.encoders()["audio"].eval()
    assert isinstance(encoder, Waveform)
    clip = read_whole_sound(catalog[0], catalog.root, 16000)
    with torch.inference_mode():
        states, _ = encoder.hidden_states(torch.from_numpy(clip.audio)[None])
    centroids = torch.from_numpy(np.load(tmp_path / "two" / "centroids.npy"))
    nearest = torch.cdist(states[2][0].double(), centroids.double()).argmin(dim=1)
    own = store[0]
    assert own is not None
    assert own.labels.tolist() == nearest.tolist()

    again = _run_config(catalog, tmp_path / "two", num_classes=6, label_rate_hz=50)
    pretrain(again, tmp_path / "run2", on_step=lambda record: losses.append(record.result.loss))
    assert len(losses) == 4
    assert np.isfinite(losses).all()

    with pytest.raises(ConfigError, match=r"layer 9: the encoder of .*run1 has layers 1 to 4"):
        label_corpus(catalog.path, tmp_path / "3", second.model_copy(update={"layer": 9}))


@pytest.fixture
def half_done(catalog: Catalog, tmp_path: Path) -> LabelConfig:
    """What labels the second layer of a run of four steps that has done two of them."""
    label_corpus(catalog.path, tmp_path / "one", CONFIG)
    config = _run_config(catalog, tmp_path / "one")
    # So fast that two steps change the labels.
    optim = config.train.optim.model_copy(update={"lr": 0.1})
    train = config.train.model_copy(update={"num_steps": 4, "optim": optim})
    pretrain(config.model_copy(update={"train": train}), tmp_path / "run")
    Path(checkpoints(tmp_path / "run")[-1].url).rename(tmp_path / "later")
    return LabelConfig(num_clusters=4, run=tmp_path / "run", layer=2)


def _train_on(folder: Path) -> None:
    """Let the run of `half_done` have its last checkpoint too."""
    (first,) = checkpoints(folder / "run")
    (folder / "later").rename(Path(first.url).with_name("step-00000004"))


@pytest.mark.usefixtures("small_shards")
def test_clusters_and_labels_are_of_the_same_weights_though_the_run_trains_on(
    catalog: Catalog, tmp_path: Path, half_done: LabelConfig
) -> None:
    label_corpus(catalog.path, tmp_path / "at rest", half_done)
    passes: list[int] = []

    def while_it_trains(task: Task, shards: Sequence[int]) -> Iterator[int]:
        passes.append(len(shards))
        if len(passes) == 2:
            _train_on(tmp_path)
        yield from map(task, shards)

    label_corpus(catalog.path, tmp_path / "meanwhile", half_done, run_tasks=while_it_trains)
    assert passes == [3, 3]
    assert [found.step for found in checkpoints(tmp_path / "run")] == [2, 4]
    assert _contents(tmp_path / "meanwhile") == _contents(tmp_path / "at rest")
    with pytest.raises(
        ConfigError,
        match=r"of other features: checkpoint step-00000002 \(now step-00000004\); name a new folder$",
    ):
        label_corpus(catalog.path, tmp_path / "at rest", half_done)
    label_corpus(catalog.path, tmp_path / "newer", half_done)
    newer, older = (LabelStore.open(tmp_path / name).facts for name in ("newer", "at rest"))
    assert newer.features["checkpoint"] == "step-00000004"
    assert older.features["checkpoint"] == "step-00000002"
    assert newer.features["weights_sha256"] != older.features["weights_sha256"]
    shards = [_contents(tmp_path / name)["shard-000000.arrow"] for name in ("newer", "at rest")]
    assert shards[0] != shards[1]


@pytest.mark.usefixtures("small_shards")
def test_weights_that_are_gone_or_others_are_told_of(
    catalog: Catalog, tmp_path: Path, half_done: LabelConfig
) -> None:
    planned = job.plan_job(catalog, tmp_path / "labels", half_done)
    assert planned.weights is not None
    other = replace(planned, weights=replace(planned.weights, sha256="0" * 64))
    with pytest.raises(ConfigError, match=r"step-00000002 has other weights than when its labels"):
        job.load_features(other)
    _train_on(tmp_path)
    shutil.rmtree(planned.weights.checkpoint.url)
    with pytest.raises(ConfigError, match=r"step-00000002, which the labels are of, is gone: the"):
        job.load_features(planned)


@pytest.mark.usefixtures("small_shards")
def test_a_run_refuses_labels_that_are_not_its_own_before_it_begins(
    catalog: Catalog, synth_catalog: Catalog, tmp_path: Path
) -> None:
    label_corpus(catalog.path, tmp_path / "labels", CONFIG)
    for trained_on, changes, told in (
        (synth_catalog, {}, "are of another catalogue than"),
        (catalog, {"num_classes": 5}, "num_classes 4, the config says 5; set objective.num_cl"),
        (catalog, {"label_rate_hz": 50}, "label_rate_hz 100, the config says 50"),
        (catalog, {"labels": "nowhere"}, "no labels at .*nowhere; make them: avrep label CORPUS"),
    ):
        config = _run_config(trained_on, tmp_path / "labels", **changes)
        with pytest.raises(ConfigError, match=told):
            pretrain(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.ray
def test_ray_makes_the_same_labels(catalog: Catalog, tmp_path: Path, ray_cluster: None) -> None:
    del ray_cluster
    from avrep.cluster.label import label_on_ray

    here = label_corpus(catalog.path, tmp_path / "here", CONFIG)
    assert label_on_ray(catalog.path, tmp_path / "ray", CONFIG, num_workers=1) == here
    assert _contents(tmp_path / "ray") == _contents(tmp_path / "here")
    write_catalog(tmp_path / "lost.parquet", catalog, str(tmp_path / "nowhere"))
    with pytest.raises(ShardError, match="when the storage is back, start the same avrep label"):
        label_on_ray(tmp_path / "lost.parquet", tmp_path / "lost", CONFIG)
