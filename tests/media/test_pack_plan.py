"""Every item is in exactly one shard, whatever the config, and the same one each time."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep import rng
from avrep.errors import ConfigError
from avrep.media.catalog import Catalog, write_catalog
from avrep.media.pack_plan import PackConfig, identity, plan_shards
from avrep.types import Address, AudioStream, MediaItem, VideoStream

VIDEO = VideoStream(width_px=340, height_px=256, fps=30.0, num_frames=300, codec="h264")
AUDIO = AudioStream(rate_hz=44100, channels=2, codec="aac")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Two thousand items sorted by class, of unlike lengths, some without picture or sound."""
    generator = np.random.default_rng(0)
    items = [
        MediaItem(
            key=f"class{row // 100:02d}/{row:05d}.mp4",
            shard=f"{row}.mp4",
            offset_bytes=0,
            length_bytes=int(generator.integers(1, 400_000)),
            duration_s=float(generator.uniform(0.1, 20)),
            video=VIDEO if row % 5 else None,
            audio=AUDIO if row % 5 < 3 else None,
        )
        for row in range(2000)
    ]
    path = tmp_path_factory.mktemp("plan") / "c.parquet"
    write_catalog(path, items, "/data")
    return Catalog.open(path)


configs = st.builds(
    PackConfig,
    mode=st.sampled_from(["copy", "transcode"]),
    shard_bytes=st.integers(2**16, 2**30),
    seed=st.none() | st.integers(0, 2**64 - 1),
    short_side_px=st.sampled_from([None, 64, 128, 512]),
    audio_hz=st.sampled_from([None, 16000]),
)


@settings(max_examples=40, deadline=None)
@given(config=configs)
def test_shards_share_out_all_rows_in_order(catalog: Catalog, config: PackConfig) -> None:
    plan = plan_shards(catalog, config)
    shards = [plan.rows(shard).tolist() for shard in range(len(plan))]
    assert all(shards)
    joined = [row for shard in shards for row in shard]
    assert sorted(joined) == list(range(len(catalog)))
    assert (joined == sorted(joined)) == (config.seed is None)
    again = plan_shards(Catalog.open(catalog.path), config)
    np.testing.assert_array_equal(plan.order, again.order)
    np.testing.assert_array_equal(plan.edges, again.edges)


def test_copied_shards_are_about_as_large_as_asked(catalog: Catalog) -> None:
    config = PackConfig(mode="copy", shard_bytes=4 * 2**20)
    plan = plan_shards(catalog, config)
    sizes = [
        sum(catalog[row].length_bytes + 3072 for row in plan.rows(shard).tolist())
        for shard in range(len(plan))
    ]
    assert all(abs(size - config.shard_bytes) <= 410_000 for size in sizes[:-1])
    assert sizes[-1] <= config.shard_bytes + 410_000


def test_coded_shards_are_cut_by_what_coding_leaves(catalog: Catalog) -> None:
    def num_shards(**changes: object) -> int:
        return len(
            plan_shards(catalog, PackConfig.model_validate({"shard_bytes": 2**20, **changes}))
        )

    assert num_shards(short_side_px=64) < num_shards() < num_shards(short_side_px=None)
    assert (
        num_shards(short_side_px=256)
        == num_shards(short_side_px=512)
        == num_shards(short_side_px=None)
    )
    assert num_shards(audio_hz=None) < num_shards() < num_shards(audio_hz=48000)


def test_a_corpus_sorted_by_class_is_mixed(catalog: Catalog) -> None:
    """Each run of twenty neighbours shows many of the twenty classes, not one."""
    order = plan_shards(catalog, PackConfig(seed=3)).order
    classes = (order // 100).reshape(-1, 20)
    assert min(len(set(run.tolist())) for run in classes) >= 7
    other = plan_shards(catalog, PackConfig(seed=4)).order
    assert (order != other).mean() > 0.99


def test_the_shuffle_never_changes() -> None:
    """A pack that goes on after an upgrade must find its plan: the words of Philox are for good."""
    words = rng.at(0, rng.Stage.PLAN, Address(0, 0)).bit_generator.random_raw(6)
    assert np.argsort(words, kind="stable").tolist() == [3, 5, 0, 1, 4, 2]


def test_an_empty_corpus_is_refused(tmp_path: Path) -> None:
    write_catalog(tmp_path / "c.parquet", [], "/data")
    with pytest.raises(ConfigError, match="nothing to pack"):
        plan_shards(Catalog.open(tmp_path / "c.parquet"), PackConfig())


def test_the_deadline_is_no_part_of_what_a_pack_is(catalog: Catalog) -> None:
    usual = identity(catalog, PackConfig())
    assert identity(catalog, PackConfig(deadline_s=5)) == usual
    for change in ({"crf": 21}, {"seed": 1}, {"mode": "copy"}, {"audio_hz": None}):
        assert identity(catalog, PackConfig.model_validate(change)) != usual
