"""Labels on disk are those written, at hand-worked places, and of one catalogue only."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.errors import ConfigError
from avrep.media import label_store
from avrep.media.catalog import Catalog
from avrep.media.claimed_folder import write_claim
from avrep.media.label_store import (
    FACTS,
    LabelFacts,
    LabelStore,
    RowLabels,
    read_all,
    read_notes,
    shard_path,
    write_shard,
)


def _facts(num_rows: int, **changes: object) -> dict[str, object]:
    facts: dict[str, object] = {
        "catalog_digest": "ab",
        "num_rows": num_rows,
        "num_clusters": 60000,
        "rate_hz": 100,
        "seed": 0,
        "features": {"kind": "mfcc"},
        "version": 1,
        "summary": {},
    }
    return facts | changes


def _row(first_s: float, *labels: int) -> RowLabels:
    return RowLabels(first_s, np.array(labels, np.uint16))


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    rows = [_row(0.25, 7, 3, 3, 60000, 5), None, _row(0.0), _row(0.0, 9, 8)]
    write_shard(shard_path(tmp_path, 0), rows, {"failures": "[]"})
    write_claim(tmp_path, FACTS, _facts(4))
    return LabelStore.open(tmp_path)


def test_rows_come_back_from_the_mapped_file(store: LabelStore) -> None:
    first = store[0]
    assert first is not None
    assert first.first_s == 0.25
    assert first.labels.tolist() == [7, 3, 3, 60000, 5]
    assert not first.labels.flags.owndata
    assert not first.labels.flags.writeable
    assert store[1] is None
    found = [store[row] for row in (2, 3)]
    assert [row.labels.tolist() for row in found if row] == [[], [9, 8]]
    with pytest.raises(IndexError, match="row 4 of the labels of 4 rows"):
        store[4]
    path = shard_path(store.path, 0)
    assert read_all(path).tolist() == [7, 3, 3, 60000, 5, 9, 8]
    assert read_notes(path) == {"failures": "[]"}


@pytest.mark.parametrize(
    ("start_s", "expected"),
    [
        # The sound begins at 0.25 s, and its labels stand for 0.25, 0.26, 0.27, 0.28, 0.29 s.
        (0.25, [7, 3, 3, 60000]),
        (0.27, [3, 60000, 5, -1]),
        # Sample 4320 + 79 is nearer to 0.27 s (sample 4320) than to 0.28 s (sample 4480); one
        # sample on it is as near to either, and the later is taken.
        (4399 / 16000, [3, 60000, 5, -1]),
        (4400 / 16000, [60000, 5, -1, -1]),
        # Before the sound there are none, nor after it.
        (0.23, [-1, -1, 7, 3]),
        (0.30, [-1, -1, -1, -1]),
        (0.10, [-1, -1, -1, -1]),
    ],
)
def test_a_crop_begins_with_the_nearest_label(
    store: LabelStore, start_s: float, expected: list[int]
) -> None:
    found = store.crop(0, start_s, 4)
    assert found.dtype == np.int64
    assert found.tolist() == expected


def test_a_row_without_labels_gives_none(store: LabelStore) -> None:
    assert store.crop(1, 0.0, 3).tolist() == [-1, -1, -1]
    assert store.crop(2, 0.0, 3).tolist() == [-1, -1, -1]


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.none() | st.integers(0, 6), min_size=1, max_size=9),
    start=st.integers(-900, 900),
    num_labels=st.integers(0, 8),
)
def test_any_row_of_any_shard_equals_a_search_through_all(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int | None],
    start: int,
    num_labels: int,
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    rows = [
        None if n is None else _row(0.01 * i, *range(10 * i, 10 * i + n))
        for i, n in enumerate(lengths)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(label_store, "ROWS_PER_SHARD", 2)
        for shard in range(-(-len(rows) // 2)):
            write_shard(shard_path(folder, shard), rows[2 * shard : 2 * shard + 2])
        write_claim(folder, FACTS, _facts(len(rows)))
        store = LabelStore.open(folder)
        for i, row in enumerate(rows):
            crop = store.crop(i, start / 16000, num_labels)
            assert crop.tolist() == _searched(row, i, start, num_labels).tolist()


def _searched(
    row: RowLabels | None, number: int, start: int, num_labels: int
) -> npt.NDArray[np.int64]:
    """The label whose first sample is nearest to each wanted one, in whole samples."""
    found = np.full(num_labels, -1, np.int64)
    for k in range(num_labels if row else 0):
        for j, label in enumerate(row.labels if row else []):
            off = (160 * number + 160 * j) - (start + 160 * k)
            if -80 < off <= 80:
                found[k] = label
    return found


def test_another_catalogue_is_refused_in_one_line(
    store: LabelStore, synth_catalog: Catalog, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"are of another catalogue than .*; make its own: avrep"):
        store.check(synth_catalog)
    own = LabelFacts(
        catalog_digest=synth_catalog.digest, num_rows=1, num_clusters=2, rate_hz=100, seed=0
    )
    LabelStore(tmp_path, own).check(synth_catalog)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (None, "no labels at .*; make them: avrep label CORPUS -o"),
        (_facts(4, version=2), "holds labels of version 2, not 1"),
        ({k: v for k, v in _facts(4).items() if k != "summary"}, "is not finished; start the same"),
    ],
)
def test_what_is_no_finished_folder_of_labels_is_refused(
    tmp_path: Path, claim: dict[str, object] | None, message: str
) -> None:
    if claim is not None:
        write_claim(tmp_path, FACTS, claim)
    with pytest.raises(ConfigError, match=message):
        LabelStore.open(tmp_path)


def test_a_lost_shard_is_named(store: LabelStore) -> None:
    shard_path(store.path, 0).unlink()
    with pytest.raises(ConfigError, match=r"shard-000000\.arrow is missing"):
        store[0]
