"""A corpus's vectors are those that its encoder gives of its clips, whoever makes them in whatever
order, killed in between or not; and what cannot be used is told, not written.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import avrep
from avrep.config import RunConfig, dump_config
from avrep.embedding.batching import Batcher
from avrep.embedding.corpus import EmbedSummary, embed_corpus, make_here
from avrep.embedding.job import EmbedConfig, EmbedJob
from avrep.embedding.part import PartDone
from avrep.embedding.store import FeatureStore, part_path, parts_folder
from avrep.errors import ConfigError, ShardError
from avrep.media.catalog import Catalog, write_catalog
from avrep.models.features import Encoder, Features
from avrep.pipeline.quarantine import read_quarantine
from avrep.pretrain import pretrain
from avrep.sampling.windows import SpacingConfig
from avrep.trained import read_run_config

# Parts of five items, batches that straddle items.
CONFIG = EmbedConfig(spacing=SpacingConfig(num_clips=4), batch_size=7, clips_per_part=20)
DAMAGED = 3
_ROOT = Path(__file__).parents[2]
Made = tuple[FeatureStore, EmbedSummary, list[tuple[int, int]]]


@pytest.fixture(scope="module")
def damaged(synth_catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The corpus, of one video of which only the first bytes are left."""
    items = list(synth_catalog)
    items[DAMAGED] = replace(items[DAMAGED], length_bytes=200, crc32=None)
    path = tmp_path_factory.mktemp("damaged") / "corpus.parquet"
    write_catalog(path, items, synth_catalog.root)
    return Catalog.open(path)


@pytest.fixture(scope="module")
def made(tiny_run: Path, damaged: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Its features, what was said of them, and how far it was."""
    out, told = tmp_path_factory.mktemp("made") / "features", list[tuple[int, int]]()
    summary = embed_corpus(
        tiny_run, damaged.path, out, CONFIG, progress=lambda *now: told.append(now)
    )
    return FeatureStore.open(out), summary, told


def contents(folder: Path) -> dict[str, bytes]:
    """All that a folder of features holds, but for the hour at which items were listed as unusable."""
    paths = [path for below in (folder, parts_folder(folder)) for path in below.iterdir()]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def test_vectors_are_the_encoders_of_the_clips_of_evaluation(
    made: Made,
    tiny_run: Path,
    damaged: Catalog,
    synth_folder: Path,
) -> None:
    store, summary, told = made
    rows = store.read()
    encoder = avrep.load_encoder(tiny_run)
    keys: list[str] = []
    for row, item in enumerate(damaged):
        if row == DAMAGED or item.video is None:
            continue
        first = len(keys)
        keys += [item.key] * 4
        if row % 6:
            continue
        clips = avrep.eval_clips(tiny_run, synth_folder / item.key)
        with torch.inference_mode():
            vectors = encoder(clips).pooled.numpy()
        np.testing.assert_allclose(rows.vectors[first : first + 4], vectors, rtol=1e-4, atol=1e-6)
        # Evaluation's rule: clips of 4 frames at stride 2 start floor(slack / 3) frames apart.
        step = (item.video.num_frames - 8) // 3
        starts = np.arange(4) * step / item.video.fps + item.video.start_s
        np.testing.assert_allclose(rows.start_s[first : first + 4], starts, atol=1e-9)
        np.testing.assert_allclose(
            rows.end_s[first : first + 4], starts + 8 / item.video.fps, atol=1e-9
        )
    assert rows.keys == tuple(keys)
    assert len(store) == len(rows) == 4 * 24
    assert (summary.num_items, summary.num_clips, summary.num_failed) == (24, 96, 1)
    assert summary.num_without == len(damaged) - 25
    assert summary.width == rows.vectors.shape[1] == 32
    assert "24 items: 96 clips of 32 numbers; 1 item failed; 1 item without such" in summary.line()
    assert told[0] == (0, 25)
    assert told[-1] == (25, 25)


def test_a_damaged_item_is_quarantined_with_its_reason(made: Made, damaged: Catalog) -> None:
    store, _, _ = made
    (entry,) = read_quarantine(store.path)
    assert (entry.key, entry.item) == (damaged[DAMAGED].key, DAMAGED)
    assert entry.stage == "open"
    assert entry.reason
    assert entry.uri.endswith(damaged[DAMAGED].shard)


def test_any_reader_of_parquet_reads_it_and_each_part_says_what_it_is(
    made: Made,
    tiny_run: Path,
    damaged: Catalog,
) -> None:
    store, _, _ = made
    whole = pq.read_table(parts_folder(store.path))
    assert whole["key"].to_pylist() == list(store.read().keys)
    table = pq.read_table(part_path(store.path, 1))
    assert table.column_names == ["key", "start_s", "end_s", "vector"]
    assert str(table.schema.field("vector").type) == "fixed_size_list<element: float not null>[32]"
    facts = json.loads(table.schema.metadata[b"avrep"])
    config = read_run_config(tiny_run)
    assert facts["run_config"] == config.model_dump(mode="json")
    assert facts["catalog_digest"] == damaged.digest
    assert len(facts["encoder_digest"]) == 64
    assert facts["spacing"] == {"num_clips": 4, "every_s": None, "at_s": None}
    assert facts["versions"]["torch"]
    assert facts["failures"] == []
    found = np.stack(table["vector"].to_pylist())
    np.testing.assert_array_equal(found, store.read().vectors[16:36].astype(np.float64))


@pytest.mark.slow
def test_order_and_kills_do_not_matter_and_nothing_is_made_twice(
    made: Made,
    tiny_run: Path,
    damaged: Catalog,
    tmp_path: Path,
) -> None:
    store, whole, _ = made
    out, tried = tmp_path / "features", list[int]()

    def cut(job: EmbedJob, parts: Sequence[int]) -> Iterator[PartDone]:
        """Backwards, and killed after every other part."""
        for number, done in enumerate(make_here(job, parts[::-1])):
            tried.append(parts[::-1][number])
            (parts_folder(job.out) / "part-000000.elsewhere-1.partial").write_bytes(b"left behind")
            yield done
            if number == 1:
                raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            embed_corpus(tiny_run, damaged.path, out, CONFIG, run_parts=cut)
        with pytest.raises(ConfigError, match="is not finished"):
            FeatureStore.open(out)
    again = embed_corpus(tiny_run, damaged.path, out, CONFIG, run_parts=cut)
    assert tried == [4, 3, 2, 1, 0]
    same = ("num_items", "num_clips", "num_failed", "num_without", "width")
    assert all(getattr(again, name) == getattr(whole, name) for name in same)
    assert again.num_made == 16
    assert contents(out) == contents(store.path)
    finished = embed_corpus(tiny_run, damaged.path, out, CONFIG, run_parts=cut)
    assert (finished.num_clips, finished.num_made) == (96, 0)
    assert len(tried) == 5
    part_path(out, 2).unlink()
    embed_corpus(tiny_run, damaged.path, out, CONFIG, run_parts=cut)
    assert tried[5:] == [2]
    assert contents(out) == contents(store.path)


@pytest.mark.slow
def test_parts_that_are_made_again_are_summed_up_again(
    tiny_run: Path, synth_catalog: Catalog, tmp_path: Path
) -> None:
    """Also by a job that was killed between the last of them and the sum."""
    root, out = Path(shutil.copytree(synth_catalog.root, tmp_path / "root")), tmp_path / "features"
    config = CONFIG.model_copy(update={"root": str(root)})
    damaged = root / synth_catalog[DAMAGED].shard
    whole = damaged.read_bytes()
    damaged.write_bytes(b"")
    assert embed_corpus(tiny_run, synth_catalog.path, out, config).num_failed == 1
    damaged.write_bytes(whole)
    part_path(out, 0).unlink()

    def cut(job: EmbedJob, parts: Sequence[int]) -> Iterator[PartDone]:
        yield from make_here(job, parts)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed_corpus(tiny_run, synth_catalog.path, out, config, run_parts=cut)
    mended = embed_corpus(tiny_run, synth_catalog.path, out, config)
    assert (mended.num_failed, mended.num_clips, mended.num_made) == (0, 100, 0)
    assert read_quarantine(out) == []


def test_a_folder_of_something_else_is_refused(
    made: Made,
    tiny_run: Path,
    tiny_config: Callable[..., RunConfig],
    damaged: Catalog,
    synth_catalog: Catalog,
    tmp_path: Path,
) -> None:
    out = made[0].path
    every = CONFIG.model_copy(update={"spacing": SpacingConfig(every_s=1.0)})
    with pytest.raises(ConfigError, match="holds features of other clips; name a new folder"):
        embed_corpus(tiny_run, damaged.path, out, every)
    with pytest.raises(ConfigError, match="holds features of another catalogue"):
        embed_corpus(tiny_run, synth_catalog.path, out, CONFIG)
    pretrain(tiny_config(num_steps=1, warmup_steps=0), tmp_path / "other")
    with pytest.raises(ConfigError, match="holds features of another encoder, or of other weights"):
        embed_corpus(tmp_path / "other", damaged.path, out, CONFIG)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty and holds no features"):
        embed_corpus(tiny_run, damaged.path, tmp_path / "mine", CONFIG)
    audio = CONFIG.model_copy(update={"kind": "audio"})
    with pytest.raises(ConfigError, match="trained no audio encoder, but video: add --kind video"):
        embed_corpus(tiny_run, damaged.path, tmp_path / "audio", audio)


def test_weights_that_change_on_the_way_are_noticed(
    tiny_run: Path, tiny_config: Callable[..., RunConfig], damaged: Catalog, tmp_path: Path
) -> None:
    run = shutil.copytree(tiny_run, tmp_path / "run")

    def trained_on(job: EmbedJob, parts: Sequence[int]) -> Iterator[PartDone]:
        shutil.rmtree(run)
        pretrain(tiny_config(num_steps=1, warmup_steps=0), run)
        yield from make_here(job, parts)

    with pytest.raises(
        ConfigError, match=r"are not those that the features in .* are of; embed in"
    ):
        embed_corpus(run, damaged.path, tmp_path / "out", CONFIG, run_parts=trained_on)


@pytest.mark.slow
def test_a_store_that_is_down_is_no_fault_of_the_items(
    tiny_run: Path, synth_catalog: Catalog, tmp_path: Path
) -> None:
    write_catalog(tmp_path / "lost.parquet", synth_catalog, str(tmp_path / "nowhere"))
    with pytest.raises(
        ShardError, match=r"3 of 5 rows .*; when the storage is back, start the sam"
    ):
        embed_corpus(tiny_run, tmp_path / "lost.parquet", tmp_path / "out", CONFIG)


def test_files_are_found_where_training_had_them_or_where_a_person_says(
    tiny_run: Path, synth_catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    items = synth_catalog.items(synth_catalog.rows_with(video=True)[:5])
    moved, other = tmp_path / "moved.parquet", tmp_path / "other.parquet"
    for path in (moved, other):
        write_catalog(path, items, str(tmp_path / "nowhere"))
    config = read_run_config(run)
    data = config.data.model_copy(update={"catalog": str(moved), "root": synth_catalog.root})
    (run / "config.yaml").write_text(dump_config(config.model_copy(update={"data": data})))

    def root_of(catalog: Path, out: str, root: str | None = None) -> str:
        said = CONFIG.model_copy(update={"root": root})
        summary = embed_corpus(run, catalog, tmp_path / out, said)
        assert (summary.num_items, summary.num_failed) == (5, 0)
        return FeatureStore.open(tmp_path / out).open_catalog().root

    assert root_of(moved, "as in training") == synth_catalog.root
    with pytest.raises(ShardError):
        root_of(other, "another catalogue")
    monkeypatch.chdir(Path(synth_catalog.root).parent)
    assert root_of(other, "as said", Path(synth_catalog.root).name) == synth_catalog.root
    with pytest.raises(ShardError):
        root_of(moved, "as said, wrongly", str(tmp_path))


class _Sum(Encoder):
    """A vector of one number, and the sizes of the batches that it was given."""

    def __init__(self) -> None:
        super().__init__(1)
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, clips: torch.Tensor, /) -> Features:
        self.sizes.append(tuple(clips.shape))
        if clips.shape[1] < 3:
            raise ValueError("clips must have at least 3 samples")
        pooled = clips.sum(dim=1, keepdim=True)
        return Features(tokens=pooled[:, None], grid=(1, 1, 1), pooled=pooled)


def test_clips_of_unlike_length_share_no_batch_and_crops_are_averaged() -> None:
    encoder, found = _Sum(), dict[int, object]()
    batcher = Batcher(encoder, 2, found.__setitem__)
    for clip, (length, values) in enumerate(
        [(4, (1, 3)), (3, (5, 5)), (4, (0, 2)), (2, (1, 1)), (4, (7, 9)), (3, (np.nan, 1))]
    ):
        batcher.add(clip, torch.stack([torch.full((length,), float(v)) for v in values]))
    batcher.finish()
    assert encoder.sizes == [(2, 4), (2, 4), (2, 3), (2, 3), (1, 2), (1, 4), (1, 4)]
    vectors = {
        clip: value.tolist() for clip, value in found.items() if isinstance(value, np.ndarray)
    }
    assert vectors == {0: [8.0], 1: [15.0], 2: [4.0], 4: [32.0]}
    assert found[3] == "clips must have at least 3 samples"
    assert found[5] == "the encoder gave numbers that are not finite"


@pytest.mark.slow
def test_long_items_are_embedded_a_few_clips_at_a_time(
    tiny_run: Path, synth_catalog: Catalog, tmp_path: Path
) -> None:
    """More clips of an item than one pass decodes: the same as of the pass that decodes them all."""
    every = EmbedConfig(spacing=SpacingConfig(every_s=0.04), batch_size=32)
    embed_corpus(tiny_run, synth_catalog.path, tmp_path / "fine", every)
    rows = FeatureStore.open(tmp_path / "fine").read()
    first = [n for n, key in enumerate(rows.keys) if key == rows.keys[0]]
    assert len(first) > 16
    assert np.all(np.diff(rows.start_s[first]) > 0)
    four = FeatureStore.open(_four(tiny_run, synth_catalog, tmp_path)).read()
    for place in range(4):
        (same,) = np.flatnonzero(np.abs(rows.start_s[first] - four.start_s[place]) < 1e-6)
        np.testing.assert_allclose(
            rows.vectors[first][same], four.vectors[place], rtol=1e-4, atol=1e-6
        )


def _four(run: Path, catalog: Catalog, folder: Path) -> Path:
    embed_corpus(run, catalog.path, folder / "four", EmbedConfig())
    return folder / "four"


@pytest.mark.slow
def test_killed_at_random_moments_it_goes_on(
    made: Made,
    tiny_run: Path,
    damaged: Catalog,
    tmp_path: Path,
) -> None:
    # What stands above the guard is imported by the processes that decode too.
    code = (
        "if __name__ == '__main__':\n"
        "    import sys\n"
        "    from tests.embedding.test_corpus import CONFIG, embed_corpus\n"
        "    embed_corpus(*sys.argv[1:], CONFIG)\n"
    )
    script, out = tmp_path / "embed.py", tmp_path / "features"
    script.write_text(code)
    command = [sys.executable, str(script), str(tiny_run), str(damaged.path), str(out)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_ROOT), *sys.path])}
    for num_parts in (1, 3):
        with subprocess.Popen(command, env=environment) as job:
            while (
                len(list(parts_folder(out).glob("part-*.parquet"))) < num_parts or not out.is_dir()
            ):
                assert job.poll() is None
                time.sleep(0.005)
            time.sleep(0.02 * num_parts)
            job.send_signal(signal.SIGKILL)
    subprocess.run(command, env=environment, check=True)
    assert contents(out) == contents(made[0].path)
    assert [entry.key for entry in read_quarantine(out)] == [damaged[DAMAGED].key]
