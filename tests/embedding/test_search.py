"""What a search finds is what a look at all vectors at once finds; and it holds few of them."""

import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.embedding.search import Hit, nearest_clips
from avrep.embedding.store import (
    FACTS,
    FeatureFacts,
    FeatureRows,
    FeatureStore,
    PartNotes,
    Vectors,
    part_path,
    write_part,
)
from avrep.errors import ConfigError
from avrep.media.claimed_folder import write_claim


def write_store(
    folder: Path, vectors: Vectors, clips_per_item: int, part_rows: int
) -> FeatureStore:
    """A store of these vectors; clip i is of item i // clips_per_item."""
    facts = FeatureFacts(
        kind="video",
        width=vectors.shape[1],
        encoder_digest="ab",
        catalog_digest="cd",
        spacing={},
        form={},
        batch_size=1,
    )
    parts = range(0, len(vectors), part_rows)
    for part, first in enumerate(parts):
        rows = np.arange(first, min(first + part_rows, len(vectors)))
        held = FeatureRows(
            keys=tuple(f"item{row // clips_per_item}" for row in rows),
            start_s=0.5 * rows.astype(np.float64),
            end_s=0.5 * rows.astype(np.float64) + 1,
            vectors=vectors[rows],
        )
        write_part(part_path(folder, part), held, PartNotes({}))
    claim = {name: getattr(facts, name) for name in FeatureFacts.__slots__}
    summary = {"num_clips": len(vectors)}
    where = {"run": "r", "catalog": "c", "num_parts": len(parts)}
    write_claim(folder, FACTS, {**claim, **where, "summary": summary})
    return FeatureStore.open(folder)


def brute_force(vectors: Vectors, query: Vectors, k: int, clips_per_item: int | None) -> list[int]:
    """Rows by falling cosine, one row at a time; of equals the earlier."""
    found = []
    for row, vector in enumerate(vectors):
        lengths = np.linalg.norm(vector.astype(float)) * np.linalg.norm(query.astype(float))
        cosine = float(vector.astype(float) @ query.astype(float)) / lengths if lengths else 0.0
        found.append((-round(cosine, 12), row))
    found.sort()
    rows = [row for _, row in found]
    if clips_per_item is None:
        return rows[:k]
    best = {row // clips_per_item: row for row in reversed(rows)}
    return [row for row in rows if best[row // clips_per_item] == row][:k]


@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_it_finds_what_a_look_at_all_finds(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    num, width = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 5))
    # Small whole numbers: many vectors are equal, some are zero.
    numbers = st.lists(st.integers(-2, 2), min_size=num * width, max_size=num * width)
    vectors = np.array(data.draw(numbers), np.float32).reshape(num, width)
    query = np.array(
        data.draw(st.lists(st.integers(-3, 3), min_size=width, max_size=width).filter(any)),
        np.float32,
    )
    clips_per_item = data.draw(st.integers(1, 4))
    k = data.draw(st.integers(1, 20))
    store = write_store(
        tmp_path_factory.mktemp("store"), vectors, clips_per_item, data.draw(st.integers(1, 25))
    )
    assert len(store) == num
    found = [round(hit.similarity, 9) for hit in nearest_clips(store, query, k)]
    rows = [hit.row for hit in nearest_clips(store, query, k)]
    wanted = brute_force(vectors, query, k, None)
    assert len(rows) == len(set(rows)) == len(wanted)
    lengths = np.linalg.norm(vectors.astype(float), axis=1) * np.linalg.norm(query)
    cosines = vectors.astype(float) @ query / np.where(lengths > 0, lengths, 1)
    np.testing.assert_allclose(found, cosines[wanted], atol=1e-9)
    np.testing.assert_allclose(found, cosines[rows], atol=1e-9)
    alone = [hit.row for hit in nearest_clips(store, query, k, one_per_item=True)]
    items = [row // clips_per_item for row in alone]
    assert len(items) == len(set(items)) == min(k, -(-num // clips_per_item))
    wanted = brute_force(vectors, query, k, clips_per_item)
    np.testing.assert_allclose(cosines[alone], cosines[wanted], atol=1e-9)


def test_of_equal_clips_the_earlier_comes_first_across_parts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3000, 33)).astype(np.float32)
    same = rng.standard_normal(33).astype(np.float32)
    places = [5, 6, 1500, 2047, 2048, 2999]
    vectors[places] = same
    store = write_store(tmp_path, vectors, 2, part_rows=2000)
    found = nearest_clips(store, 3 * same, 8)
    assert [hit.row for hit in found[:6]] == places
    assert [hit.similarity for hit in found[:6]] == pytest.approx([1.0] * 6)
    assert len({hit.similarity for hit in found[:6]}) == 1
    assert found[2] == Hit(
        similarity=found[0].similarity, row=1500, key="item750", start_s=750.0, end_s=751.0
    )
    alone = nearest_clips(store, same, 3, one_per_item=True)
    assert [hit.row for hit in alone] == [5, 6, 1500]


def test_vectors_are_compared_where_they_are_projected_to(tmp_path: Path) -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    store = write_store(tmp_path, vectors, 1, part_rows=2)
    turned = np.array([[0, 1, 0], [1, 0, 0]], np.float32)
    query = np.array([1, 0, 0], np.float32)
    found = nearest_clips(store, query, 3, project=lambda rows: rows @ turned)
    assert [hit.row for hit in found] == [1, 2, 0]
    with pytest.raises(ConfigError, match="the query has 3 numbers and the clips 2"):
        nearest_clips(store, query, 3)
    with pytest.raises(ConfigError, match="it resembles nothing"):
        nearest_clips(store, np.zeros(2, np.float32), 3)


def test_a_larger_store_takes_no_more_memory(tmp_path: Path) -> None:
    peaks = []
    for name, num in (("small", 4096), ("large", 10 * 4096)):
        (tmp_path / name).mkdir()
        vectors = np.random.default_rng(1).standard_normal((num, 128)).astype(np.float32)
        store = write_store(tmp_path / name, vectors, 4, part_rows=2048)
        query = vectors[77]
        del vectors
        pool = pa.default_memory_pool()
        before, peak = pool.bytes_allocated(), 0
        tracemalloc.start()
        for rows in store.batches():
            peak = max(peak, pool.bytes_allocated() - before)
            del rows
        assert nearest_clips(store, query, 3)[0].row == 77
        peaks.append(peak + tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    small, large = peaks
    # 1,024 rows of 128 numbers are 0.5 MiB, and 1 MiB as doubles; the whole is 2 MiB, then 20 MiB.
    assert large < 1.2 * small
    assert large < 8 * 2**20


def test_what_is_not_a_finished_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no features at .*; make them: avrep embed RUN CORPUS"):
        FeatureStore.open(tmp_path)
    write_claim(tmp_path, FACTS, {"version": 2})
    with pytest.raises(ConfigError, match="is not finished; start the same avrep embed again"):
        FeatureStore.open(tmp_path)
    write_claim(tmp_path, FACTS, {"version": 7, "summary": {}})
    with pytest.raises(ConfigError, match="holds features of version 7, not 2"):
        FeatureStore.open(tmp_path)
    store = write_store(tmp_path, np.ones((4, 2), np.float32), 1, part_rows=2)
    part_path(tmp_path, 1).unlink()
    with pytest.raises(ConfigError, match=r"part-000001\.parquet is missing"):
        store.read()
