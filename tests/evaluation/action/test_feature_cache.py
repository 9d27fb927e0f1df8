"""Proves that features kept on disk come back as they were, in any order, and of their own kind."""

from pathlib import Path

import numpy as np
import pytest

from avrep.errors import ConfigError
from avrep.evaluation.action.feature_cache import FeatureCache, video_name
from avrep.types import MediaItem


def test_features_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    features = np.random.default_rng(0).normal(size=(5, 3, 2)).astype(np.float32)
    cache = FeatureCache(tmp_path, {"encoder": "a"})
    assert cache.known() == set()
    cache.add(["v0", "v1", "v2"], features[:3])
    cache.add(["v3", "v4"], features[3:])
    again = FeatureCache(tmp_path, {"encoder": "a"})
    assert again.known() == {"v0", "v1", "v2", "v3", "v4"}
    np.testing.assert_array_equal(again.views(["v4", "v1", "v3"]), features[[4, 1, 3]])
    means = features.astype(np.float64).mean(axis=1).astype(np.float32)
    np.testing.assert_array_equal(again.means(["v2", "v4"]), means[[2, 4]])
    with pytest.raises(KeyError, match="lacks the features of 1 videos"):
        again.means(["v1", "other"])


def test_what_decides_the_features_decides_the_folder(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, {"encoder": "a", "clips": 10})
    cache.add(["v"], np.ones((1, 1, 1), np.float32))
    assert FeatureCache(tmp_path, {"clips": 10, "encoder": "a"}).known() == {"v"}
    assert FeatureCache(tmp_path, {"encoder": "b", "clips": 10}).known() == set()
    assert FeatureCache(tmp_path, {"encoder": "a", "clips": 9}).known() == set()


def test_a_part_in_the_writing_is_not_read_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, {})
    (cache.folder / "part-0123.99.partial").write_bytes(b"half of")
    assert cache.known() == set()
    cache.add(["v"], np.ones((1, 1, 1), np.float32))
    (part,) = cache.folder.glob("part-*.safetensors")
    part.write_bytes(part.read_bytes()[:-2])
    with pytest.raises(ConfigError, match=r"part-.* is damaged. Mend: delete it"):
        cache.means(["v"])


def test_a_video_that_was_replaced_is_another_video() -> None:
    item = MediaItem(key="a.avi", shard="", offset_bytes=0, length_bytes=3, duration_s=1.0, crc32=7)
    other = MediaItem(
        key="a.avi", shard="x", offset_bytes=9, length_bytes=3, duration_s=1.0, crc32=8
    )
    assert video_name(item) != video_name(other)
