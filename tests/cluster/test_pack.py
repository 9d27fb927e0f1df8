"""A packed corpus is its source: every item once, shown and heard as before, whatever is killed.

Truth: `decode` of the source and the numbers in its frames; Ray Data's own reader of WebDataset
shards; the bytes of a pack that nobody disturbed.
"""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import ray.data

from avrep.cli import main
from avrep.cluster.pack import PackSummary, pack_corpus
from avrep.errors import ConfigError, ShardError
from avrep.media import shards
from avrep.media.catalog import Catalog, write_catalog
from avrep.media.decode import decode
from avrep.media.frame_code import read_frame_number
from avrep.media.index import index_sources
from avrep.media.pack_plan import PackConfig
from avrep.media.synth import write_corpus
from avrep.media.synth_scene import SynthConfig
from avrep.types import ClipTimes, Geometry

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# Some twenty items in five shards.
CONFIG = PackConfig(shard_bytes=2**17, short_side_px=None, audio_hz=16000)


@pytest.fixture(scope="module")
def packed(
    synth_catalog: Catalog, tmp_path_factory: pytest.TempPathFactory, ray_cluster: None
) -> tuple[Path, PackSummary]:
    del ray_cluster
    out = tmp_path_factory.mktemp("pack") / "packed"
    told: list[tuple[int, int]] = []
    summary = pack_corpus(
        synth_catalog.path, out, CONFIG, num_workers=2, progress=lambda *now: told.append(now)
    )
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[0] == (0, len(synth_catalog))
    assert told[-1] == (len(synth_catalog), len(synth_catalog))
    return out, summary


def open_packed(out: Path) -> Catalog:
    return Catalog.open(out / "corpus.parquet")


def test_every_item_is_there_once_and_nothing_else(
    packed: tuple[Path, PackSummary], synth_catalog: Catalog
) -> None:
    out, summary = packed
    catalog = open_packed(out)
    assert sorted(catalog.keys()) == sorted(synth_catalog.keys())
    assert catalog.keys() != synth_catalog.keys()
    assert summary.num_items == len(synth_catalog)
    assert summary.num_rejects == 0
    assert summary.num_bytes == sum(item.length_bytes for item in catalog)
    assert summary.num_shards > 2
    tars = [f"shard-{n:06d}.tar" for n in range(summary.num_shards)]
    assert sorted(path.name for path in out.iterdir()) == [
        "corpus.parquet", "pack.json", "rejects.csv", *tars
    ]  # fmt: skip
    assert [item.shard for item in catalog] == sorted(item.shard for item in catalog)


def test_the_command(
    synth_catalog: Catalog,
    ray_cluster: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del ray_cluster
    out, moved = tmp_path / "copied", tmp_path / "moved.parquet"
    write_catalog(moved, list(synth_catalog), "/gone")
    command = ["avrep", "pack", str(moved), "-o", str(out), "--copy"]
    command += ["--root", synth_catalog.root]
    for values, exit_code in (["--set", "seed=null"], 0), (["--set", "seed=3"], 2):
        monkeypatch.setattr(sys, "argv", [*command, *values])
        with pytest.raises(SystemExit) as ended:
            main()
        assert (ended.value.code or 0) == exit_code
    said = capsys.readouterr()
    assert f"{len(synth_catalog)} items in 1 shards; catalogue {out / 'corpus.parquet'}" in said.out
    assert "holds a pack with seed=None, not 3; name a new folder" in said.err
    assert open_packed(out).keys() == synth_catalog.keys()


def test_a_pack_may_be_moved(packed: tuple[Path, PackSummary], tmp_path: Path) -> None:
    moved = shutil.copytree(packed[0], tmp_path / "elsewhere")
    for item, same in zip(open_packed(moved), open_packed(packed[0]), strict=True):
        assert shards.shard_url(item, open_packed(moved).root).startswith(str(moved))
        assert shards.read(item, open_packed(moved).root) == shards.read(same, str(packed[0]))


def test_items_show_and_sound_as_before(
    packed: tuple[Path, PackSummary], synth_catalog: Catalog
) -> None:
    before = {item.key: item for item in synth_catalog}
    num_frames = 0
    for item in open_packed(packed[0]):
        source = before[item.key]
        assert item.labels == source.labels
        assert item.duration_s == source.duration_s
        wanted = ClipTimes(
            frames_s=np.arange(0.01, 1.5, 0.07) if source.video else np.zeros(0),
            audio_s=(0.0, source.duration_s),
        )
        was = decode(shards.read(source, synth_catalog.root), wanted, Geometry(rate_hz=16000))
        now = decode(shards.read(item, str(packed[0])), wanted, Geometry(rate_hz=16000))
        np.testing.assert_allclose(now.pts_s, was.pts_s, atol=1e-9)
        assert was.audio is not None
        assert now.audio is not None
        assert np.abs(was.audio - now.audio).max() <= 2.0**-15
        if was.video is not None and now.video is not None:
            numbers = [read_frame_number(frame) for frame in was.video]
            assert [read_frame_number(frame) for frame in now.video] == numbers
            num_frames += len([number for number in numbers if number is not None])
    assert num_frames == 25 * 22


def test_another_reader_of_webdataset_finds_the_samples(
    packed: tuple[Path, PackSummary], synth_catalog: Catalog
) -> None:
    out = packed[0]
    paths = [str(path) for path in sorted(out.glob("*.tar"))]
    rows: list[dict[str, Any]] = ray.data.read_webdataset(paths, decoder=None).take_all()
    items = {item.key: item for item in open_packed(out)}
    labels = {item.key: item.labels for item in synth_catalog}
    found = Counter()
    for row in rows:
        told = json.loads(row["json"])
        key = told.pop("__avrep__")["key"]
        assert told == labels[key]
        # A sample without a member of some kind has NaN there.
        (media,) = (row[kind] for kind in ("mp4", "flac") if isinstance(row.get(kind), bytes))
        assert zlib.crc32(media) == items[key].crc32
        found[key] += 1
    assert found == Counter(synth_catalog.keys())


def test_the_same_pack_again_is_done_already_and_another_is_refused(
    packed: tuple[Path, PackSummary], synth_catalog: Catalog, tmp_path: Path
) -> None:
    out, summary = packed
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    assert pack_corpus(synth_catalog.path, out, CONFIG) == summary
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.tar")} == before
    with pytest.raises(ConfigError, match=r"a pack with crf=20.0, not 25.0; name a new folder"):
        pack_corpus(synth_catalog.path, out, PackConfig(**{**CONFIG.model_dump(), "crf": 25}))
    write_catalog(tmp_path / "half.parquet", list(synth_catalog)[:9], synth_catalog.root)
    with pytest.raises(ConfigError, match="a pack of another source"):
        pack_corpus(tmp_path / "half.parquet", out, CONFIG)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty and holds no pack"):
        pack_corpus(synth_catalog.path, tmp_path / "other", CONFIG)
    with pytest.raises(ConfigError, match="is a file"):
        pack_corpus(synth_catalog.path, tmp_path / "half.parquet", CONFIG)


def test_rejects_and_items_are_the_source(
    synth_folder: Path, tmp_path: Path, ray_cluster: None
) -> None:
    del ray_cluster
    corpus = tmp_path / "corpus"
    shutil.copytree(synth_folder / "videos" / "test", corpus)
    index_sources([str(corpus)], tmp_path / "c.parquet", num_workers=1)
    bad = sorted(corpus.iterdir())[2]
    bad.write_bytes(bytes(bad.stat().st_size))
    catalog = Catalog.open(tmp_path / "c.parquet")
    config = PackConfig(shard_bytes=2**16)
    # A checksum, where the catalogue has one, tells of the change before a decoder does.
    unchecked = [item for item in catalog if item.crc32 is None]
    summary = pack_corpus(catalog.path, tmp_path / "packed", config, num_workers=1)
    assert (summary.num_items, summary.num_rejects) == (len(catalog) - 1, 1)
    with (tmp_path / "packed" / "rejects.csv").open(newline="") as file:
        (reject,) = csv.DictReader(file)
    assert reject["key"] == bad.name
    assert reject["stage"] == ("open" if unchecked else "read")
    assert reject["reason"]


def test_storage_that_is_gone_stops_the_pack_and_it_goes_on_later(
    synth_folder: Path, tmp_path: Path, ray_cluster: None
) -> None:
    del ray_cluster
    corpus, away = tmp_path / "corpus", tmp_path / "away"
    shutil.copytree(synth_folder / "videos" / "test", corpus)
    index_sources([str(corpus)], tmp_path / "c.parquet", num_workers=1)
    config = PackConfig(mode="copy", shard_bytes=2**16)
    corpus.rename(away)
    with pytest.raises(ShardError, match="start the same pack again"):
        pack_corpus(tmp_path / "c.parquet", tmp_path / "packed", config, num_workers=1)
    away.rename(corpus)
    summary = pack_corpus(tmp_path / "c.parquet", tmp_path / "packed", config, num_workers=1)
    assert (summary.num_items, summary.num_rejects) == (8, 0)


PACK = """
import sys
from avrep.cluster.pack import pack_corpus
from avrep.cluster.session import ray_session
from avrep.media.pack_plan import PackConfig

if __name__ == "__main__":
    config = PackConfig(shard_bytes=2**17, short_side_px=32)
    with ray_session(2):
        pack_corpus(sys.argv[1], sys.argv[2], config, num_workers=2,
                    progress=lambda done, _: print(done, flush=True))
"""


def kill_packers() -> int:
    """SIGKILL to every Ray worker that makes a shard; how many there were."""
    num_killed = 0
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and (folder / "cmdline").read_bytes().startswith(b"ray::Map"):
                os.kill(int(folder.name), signal.SIGKILL)
                num_killed += 1
        except OSError:
            continue
    return num_killed


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_killed_again_and_again_it_finishes_with_the_same_bytes(
    tmp_path: Path, ray_cluster: None
) -> None:
    """Drivers are killed in the middle of their work, and in the last run its workers."""
    del ray_cluster
    config = SynthConfig(num_videos=60, num_flash_beep=2, num_speech=2, duration_s=3.0)
    corpus = write_corpus(tmp_path / "corpus", config, num_workers=2)
    index_sources([str(corpus)], tmp_path / "c.parquet", num_workers=2)
    script = tmp_path / "pack.py"
    script.write_text(PACK)
    address = ray.get_runtime_context().gcs_address

    def start(out: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / "c.parquet"), str(out)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "RAY_ADDRESS": address},
        )

    assert start(tmp_path / "calm").wait(600) == 0
    chance = random.Random(0)
    num_kills = 0
    while num_kills < 3:
        process = start(tmp_path / "killed")
        assert process.stdout is not None
        # The first line comes when the work begins, and then one with each shard.
        for _ in range(chance.randint(1, 3)):
            process.stdout.readline()
        time.sleep(chance.uniform(0.0, 1.0))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        num_kills += 1
    assert num_kills == 3
    left = len(list((tmp_path / "killed").glob(".unfinished-*")))
    last = start(tmp_path / "killed")
    assert last.stdout is not None
    assert last.stdout.readline()
    num_workers_killed = 0
    while last.poll() is None and num_workers_killed < 2:
        num_workers_killed += kill_packers()
        time.sleep(0.5)
    assert last.wait(600) == 0
    assert num_workers_killed + left > 0

    keys = open_packed(tmp_path / "killed").keys()
    assert sorted(keys) == sorted(Catalog.open(tmp_path / "c.parquet").keys())
    undisturbed = {path.name: path.read_bytes() for path in (tmp_path / "calm").iterdir()}
    assert len(undisturbed) > 12
    assert {p.name: p.read_bytes() for p in (tmp_path / "killed").iterdir()} == undisturbed
