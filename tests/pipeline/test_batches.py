"""The plain stream: batches are a function of the plan, and a bad item costs its own place only."""

import shutil
import tarfile
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

from avrep.errors import FailureBudgetExceeded
from avrep.media import shards
from avrep.media.catalog import Catalog, write_catalog
from avrep.media.frame_code import read_frame_number
from avrep.media.index import index_sources
from avrep.pipeline.batches import batches, read_batch
from avrep.pipeline.example import StreamSource, draw_times, read_example
from avrep.pipeline.plan import Plan, Sweep, addresses
from avrep.sampling.clips import DenseConfig
from avrep.sampling.pairs import PairConfig
from avrep.sampling.spec import ViewSpec
from avrep.types import Batch, Geometry, MediaItem, VideoStream


def make_source(
    catalog: Catalog, *, batch: int = 4, short_side_px: int | None = None
) -> StreamSource:
    spec = ViewSpec(
        sampler=PairConfig(num_frames=4, stride=2), geometry=Geometry(short_side_px=short_side_px)
    )
    plan = Plan(seed=3, rows=catalog.rows_with(video=True), global_batch=batch)
    return StreamSource(catalog=catalog, plan=plan, specs=(spec,))


def assert_same(left: Batch, right: Batch) -> None:
    assert left.step == right.step
    assert left.addresses == right.addresses
    assert left.keys == right.keys
    assert left.failures == right.failures
    for a, b in zip(left.views, right.views, strict=True):
        np.testing.assert_array_equal(a.video, b.video)
        np.testing.assert_array_equal(a.pts_s, b.pts_s)


def test_frames_are_those_that_the_sampler_asked_for(synth_catalog: Catalog) -> None:
    """Read the number in every frame's corner and compare it with the time that was drawn."""
    source = make_source(synth_catalog)
    num_checked = 0
    for batch in batches(source, range(3)):
        for row, address in enumerate(batch.addresses):
            video = synth_catalog[address.item].video
            assert video is not None
            (drawn,) = draw_times(source, address)
            for view, times in zip(batch.views, drawn, strict=True):
                assert view.video is not None
                numbers = [read_frame_number(frame) for frame in view.video[row]]
                wanted = [int((t - video.start_s) * video.fps) for t in times.frames_s]
                assert numbers == wanted
                num_checked += len(numbers)
    assert num_checked == 3 * 4 * 2 * 4


def test_any_step_alone_equals_it_in_a_run(synth_catalog: Catalog) -> None:
    source = make_source(synth_catalog)
    run = list(batches(source, range(8)))
    for step in (7, 0, 5):
        assert_same(read_batch(source, step), run[step])


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_together_have_the_batch_of_one(synth_catalog: Catalog, world_size: int) -> None:
    source = make_source(synth_catalog)
    whole = read_batch(source, 2)
    parts = [read_batch(source, 2, rank, world_size) for rank in range(world_size)]
    for number, view in enumerate(whole.views):
        videos = [part.views[number].video for part in parts]
        joined = np.concatenate([video for video in videos if video is not None])
        np.testing.assert_array_equal(joined, view.video)
    assert sum((part.keys for part in parts), ()) == whole.keys


def test_views_and_epochs_differ(synth_catalog: Catalog) -> None:
    source = make_source(synth_catalog)
    plan = source.plan
    assert isinstance(plan, Plan)
    epoch0 = {a.item: draw_times(source, a)[0] for s in range(5) for a in addresses(plan, s)}
    per_epoch = plan.steps_per_epoch
    later = [a for s in range(per_epoch, 2 * per_epoch) for a in addresses(plan, s)]
    starts = [
        (float(epoch0[a.item][0].frames_s[0]), float(draw_times(source, a)[0][0].frames_s[0]))
        for a in later
        if a.item in epoch0
    ]
    assert len(starts) > 10
    assert sum(first != second for first, second in starts) > len(starts) / 2


def test_draws_of_one_visit_are_those_of_their_addresses(synth_catalog: Catalog) -> None:
    """Decoding an item once for three draws gives what three decodes of it would."""
    source = make_source(synth_catalog)
    assert isinstance(source.plan, Plan)
    repeated = replace(source, plan=replace(source.plan, global_batch=6, draws_per_visit=3))
    batch = read_batch(repeated, 1)
    assert [address.draw for address in batch.addresses] == [0, 1, 2, 0, 1, 2]
    starts: set[float] = set()
    for row, address in enumerate(batch.addresses):
        item = synth_catalog[address.item]
        alone = read_example(source, item, [address], shards.read(item, synth_catalog.root))
        for view, clip in zip(batch.views, alone.draws[0], strict=True):
            assert view.video is not None
            np.testing.assert_array_equal(view.video[row], clip.video)
            starts.add(float(view.pts_s[row, 0]))
    assert len(starts) > 6


def test_stage_times_are_of_this_batch(synth_catalog: Catalog) -> None:
    source = make_source(synth_catalog, batch=8)
    began_s = perf_counter()
    spent = read_batch(source, 0).spent
    elapsed_s = perf_counter() - began_s
    parts_s = [spent.storage_s, spent.demux_s, spent.decode_s, spent.convert_s]
    assert min(parts_s) > 0
    assert sum(parts_s) < elapsed_s


def test_members_of_a_tar_are_read_in_blocks_and_are_the_same_clips(
    synth_folder: Path, tmp_path: Path
) -> None:
    folder = synth_folder / "videos"
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        for path in sorted(folder.rglob("*.mp4")):
            tar.add(path, str(path.relative_to(folder)))
    index_sources([str(folder)], tmp_path / "files.parquet", num_workers=1)
    index_sources([str(tmp_path / "shard.tar")], tmp_path / "tar.parquet", num_workers=1)
    loose, packed = (Catalog.open(tmp_path / f"{name}.parquet") for name in ("files", "tar"))
    assert len({item.shard for item in packed}) == 1 < len({item.shard for item in loose})
    for ours, theirs in zip(
        batches(make_source(packed), range(8)), batches(make_source(loose), range(8)), strict=True
    ):
        for a, b in zip(ours.views, theirs.views, strict=True):
            np.testing.assert_array_equal(a.video, b.video)


@pytest.fixture
def damaged(synth_folder: Path, tmp_path: Path) -> Catalog:
    """The small corpus, of which three files were garbage from the start, whatever the index says."""
    folder = tmp_path / "corpus"
    shutil.copytree(synth_folder / "videos", folder)
    index_sources([str(folder)], tmp_path / "i.parquet", num_workers=1)
    indexed = Catalog.open(tmp_path / "i.parquet")
    items = [replace(item, crc32=None) for item in indexed]
    write_catalog(tmp_path / "c.parquet", items, indexed.root)
    catalog = Catalog.open(tmp_path / "c.parquet")
    for row in (1, 5, 11):
        item = catalog[row]
        garbage = np.random.default_rng(row).bytes(item.length_bytes)
        (folder / item.shard).write_bytes(garbage)
    return catalog


def test_a_bad_item_is_reported_and_a_substitute_takes_its_place(damaged: Catalog) -> None:
    source = make_source(damaged, batch=6)
    run = list(batches(source, range(4)))
    failed = [failure for batch in run for failure in batch.failures]
    assert {damaged[row].key for row in (1, 5, 11)} == {failure.key for failure in failed}
    assert {failure.stage for failure in failed} == {"open"}
    for batch in run:
        planned = addresses(source.plan, batch.step)
        assert len(batch.addresses) == len(planned) == 6
        for used, wanted in zip(batch.addresses, planned, strict=True):
            assert (used == wanted) == (wanted.item not in (1, 5, 11))
        assert not {damaged[a.item].key for a in batch.addresses} & {f.key for f in failed}
    # What is known to be bad need not be tried again; what comes out is the same.
    assert len(failed) == 3
    for batch in run:
        alone = read_batch(source, batch.step)
        assert alone.addresses == batch.addresses
        assert len(alone.failures) >= len(batch.failures)


def test_a_corpus_of_which_nothing_can_be_read_stops_the_stream(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"garbage")
    item = MediaItem(
        key="a.mp4",
        shard="a.mp4",
        offset_bytes=0,
        length_bytes=7,
        duration_s=2.0,
        video=VideoStream(width_px=64, height_px=48, fps=24.0, num_frames=48, codec="h264"),
    )
    write_catalog(tmp_path / "c.parquet", [item], str(tmp_path))
    source = make_source(Catalog.open(tmp_path / "c.parquet"), batch=1)
    with pytest.raises(FailureBudgetExceeded, match=r"and 15 substitutes failed; the last: a\.mp4"):
        read_batch(source, 0)


def test_a_sweep_leaves_a_bad_item_out_and_replaces_nothing(damaged: Catalog) -> None:
    spec = ViewSpec(sampler=DenseConfig(num_frames=4, num_clips=2), geometry=Geometry())
    rows = np.array([0, 1, 5, 2, 11])
    sweep = Sweep(seed=0, rows=rows, batch_size=2)
    source = replace(make_source(damaged), plan=sweep, specs=(spec,))
    run = list(batches(source, range(sweep.num_steps)))
    assert [[a.item for a in batch.addresses] for batch in run] == [[0], [2], []]
    assert [len(batch.failures) for batch in run] == [1, 1, 1]
    assert run[2].views == ()
    assert len(run[0].views) == 2
