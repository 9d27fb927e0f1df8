"""Indexing: one row or one reject for every file, in the listing's order, whatever a file does."""

import os
import shutil
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

import psutil
import pytest

from avrep.errors import ConfigError
from avrep.media.catalog import Catalog
from avrep.media.index import Reject, index_listing, index_sources, probe_entries, read_rejects
from avrep.media.sources import Listing, SourceEntry


def test_the_synthetic_corpus(synth_folder: Path, synth_catalog: Catalog) -> None:
    keys = synth_catalog.keys()
    assert keys == sorted(
        path.relative_to(synth_folder).as_posix()
        for path in synth_folder.rglob("*")
        if path.suffix in (".mp4", ".wav")
    )
    item = synth_catalog[keys.index("videos/test/00001.mp4")]
    assert item.video is not None
    assert item.audio is not None
    assert (item.video.width_px, item.video.height_px) == (64, 48)
    assert item.video.fps == pytest.approx(24)
    assert item.video.num_frames == 36
    assert item.audio.rate_hz == 16_000
    assert item.length_bytes == (synth_folder / item.shard).stat().st_size
    assert item.crc32 == zlib.crc32((synth_folder / item.shard).read_bytes())
    assert item.labels["split"] == "test"
    assert set(item.labels) == {
        "split", "shape", "texture", "motion", "speed", "background", "colour"
    }  # fmt: skip
    (wav,) = (item for item in synth_catalog if item.key.endswith(".wav"))
    assert wav.video is None
    assert wav.duration_s == pytest.approx(1.5)


def test_rejects_have_stage_and_reason_and_are_read_back(tmp_path: Path) -> None:
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a, b.mp4").write_bytes(b"garbage, with a comma")
    (tmp_path / "media" / "empty.wav").write_bytes(b"")
    told: list[tuple[int, int]] = []
    with pytest.raises(
        ConfigError, match=r"^2 of 2 files rejected, .*; why is in .*/c\.rejects\.csv$"
    ):
        index_sources(
            [str(tmp_path / "media")],
            tmp_path / "c.parquet",
            num_workers=2,
            progress=lambda *now: told.append(now),
        )
    rejects = read_rejects(tmp_path / "c.rejects.csv")
    assert [(r.key, r.stage) for r in rejects] == [("a, b.mp4", "open"), ("empty.wav", "open")]
    assert all(reject.reason for reject in rejects)
    assert told == [(1, 2), (2, 2)]
    assert not (tmp_path / "c.parquet").exists()


def test_where_all_files_are_rejected_an_earlier_catalogue_stays(
    synth_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "c.parquet"
    index_sources([str(synth_folder)], out, num_workers=1)
    before = out.read_bytes()
    (tmp_path / "bad.mp4").write_bytes(b"garbage")
    with pytest.raises(ConfigError, match=r"^1 of 1 files rejected"):
        index_sources([str(tmp_path / "bad.mp4")], out, num_workers=1)
    assert out.read_bytes() == before


def test_a_name_that_is_no_text_costs_that_file_only(tmp_path: Path) -> None:
    folder = tmp_path / "media"
    folder.mkdir()
    (folder / "good.wav").write_bytes(b"garbage")
    Path(os.fsdecode(os.fsencode(folder) + b"/clip\xe9.mp4")).write_bytes(b"garbage")
    with pytest.raises(ConfigError, match=r"^2 of 2 files rejected"):
        index_sources([str(folder)], tmp_path / "c.parquet", num_workers=1)
    found = read_rejects(tmp_path / "c.rejects.csv")
    rejects = {reject.key: reject.reason for reject in found}
    assert rejects.keys() == {"good.wav", "clip\ufffd.mp4"}
    assert rejects["clip\ufffd.mp4"] == "its name is not UTF-8; rename it"


def test_what_would_be_refused_in_the_end_is_refused_before_probing(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"garbage")

    def fail(done: int, total: int) -> None:
        raise AssertionError(f"{done} of {total} probed")

    with pytest.raises(ConfigError, match="is a folder; name the catalogue's file"):
        index_sources([str(tmp_path)], tmp_path, progress=fail)
    entry = SourceEntry(key="a.wav", shard="a.wav", offset_bytes=0, length_bytes=7)
    listing = Listing(root=str(tmp_path), entries=(entry, entry), num_passed_over=0)
    with pytest.raises(ConfigError, match=r"two items have the key 'a\.wav'"):
        index_listing(listing, tmp_path / "c.parquet", progress=fail)


@pytest.mark.slow
def test_an_interrupt_ends_all_probing_without_a_traceback(
    synth_folder: Path, tmp_path: Path
) -> None:
    """As a terminal sends it: to the command and to all processes that it started."""
    many, source = tmp_path / "many", next((synth_folder / "videos").rglob("*.mp4"))
    many.mkdir()
    for number in range(20_000):
        os.link(source, many / f"{number}.mp4")
    # A shell that started the tests in the background has all below it pass over interrupts.
    heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program = heeding + "from avrep.cli import main; main()"
    command = [sys.executable, "-c", program, "index", str(many)]
    with subprocess.Popen(
        [*command, "-o", str(tmp_path / "c.parquet"), "--workers", "2"],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        while len(psutil.Process(running.pid).children(recursive=True)) < 3:
            assert running.poll() is None
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        _, told = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "Traceback" not in told
    assert not (tmp_path / "c.parquet").exists()


DEADLY_PROBE = """
import os, signal
from avrep.types import MediaItem

def probe_or_die(entry, root):
    if "bad" in entry.key:
        os.kill(os.getpid(), signal.SIGSEGV)
    while "hang" in entry.key:
        pass
    return MediaItem(key=entry.key, shard=entry.shard, offset_bytes=0, length_bytes=1, duration_s=1)
"""


@pytest.mark.faults
@pytest.mark.slow
def test_a_file_that_ends_or_holds_its_process_costs_that_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly_probe.py").write_text(DEADLY_PROBE)
    monkeypatch.syspath_prepend(str(tmp_path))
    from importlib import import_module

    probe_or_die = import_module("deadly_probe").probe_or_die
    keys = [f"good{i}" for i in range(9)]
    keys[4:4] = ["bad0"]
    keys += ["bad1", "hang"]
    entries = [SourceEntry(key=key, shard=key, offset_bytes=0, length_bytes=1) for key in keys]
    results = list(probe_entries(entries, "", 2, probe_or_die, deadline_s=1.0))
    assert sorted(result.key for result in results) == sorted(keys)
    stages = {result.key: result.stage for result in results if isinstance(result, Reject)}
    assert stages == {"bad0": "crash", "bad1": "crash", "hang": "deadline"}
    sys.modules.pop("deadly_probe")


@pytest.mark.media
def test_odd_files_are_items_or_rejects(media_root: Path, tmp_path: Path) -> None:
    summary = index_sources([str(media_root / "odd")], tmp_path / "c.parquet", num_workers=2)
    rejects = {reject.key for reject in read_rejects(summary.rejects)}
    assert rejects == {"empty_0_bytes.mp4"}
    catalog = Catalog.open(summary.catalog)
    items = {item.key: item for item in catalog}
    assert len(items) + len(rejects) == len(list((media_root / "odd").iterdir()))
    assert items["mp3_with_cover_art.mp3"].video is None
    sideways, upright = (items[f"rotate_{turn}.mov"].video for turn in ("90", "none"))
    assert sideways is not None
    assert upright is not None
    assert (sideways.width_px, sideways.height_px) == (upright.height_px, upright.width_px)
    vfr = items["no_duration_vfr_vp9_opus.webm"]
    assert 4.5 < vfr.duration_s < 5.5
    for item in items.values():
        assert 0 < item.duration_s < 20
        assert item.video is not None or item.audio is not None


def test_processes_that_cannot_start_are_not_blamed_on_files(
    synth_folder: Path, tmp_path: Path
) -> None:
    """A script read from standard input has no file that a new process could load."""
    script = (
        "from pathlib import Path; from avrep.media.index import index_sources\n"
        f"index_sources([{str(synth_folder)!r}], Path({str(tmp_path / 'c.parquet')!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-"], input=script, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "the processes that probe files cannot start" in done.stderr
    assert not (tmp_path / "c.parquet").exists()


WITH_SMALL_FILES_ONLY = """
import resource, sys
from avrep.cli import main
if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    main()
"""


@pytest.mark.faults
def test_a_catalogue_that_cannot_be_written_is_one_line_and_the_old_one_stays(
    synth_folder: Path, tmp_path: Path
) -> None:
    """The system refuses to let any file grow beyond 1,000 bytes, as it would on a full disk."""
    (tmp_path / "index.py").write_text(WITH_SMALL_FILES_ONLY)
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "bad.mp4").write_bytes(b"no media")
    shutil.copy(synth_folder / "videos/test/00001.mp4", tmp_path / "media")
    out = tmp_path / "c.parquet"
    index_sources([str(synth_folder)], out, num_workers=1)
    before = {file.name: file.read_bytes() for file in tmp_path.glob("c.*")}
    assert set(before) == {"c.parquet", "c.rejects.csv"}
    command = [sys.executable, str(tmp_path / "index.py"), "index", str(tmp_path / "media")]
    done = subprocess.run(
        [*command, "-o", str(out), "--workers", "1"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"avrep: cannot write the catalogue {out}: File too large")
    assert last.endswith(
        "the earlier catalogue is untouched; make room, or write it elsewhere (-o)"
    )
    assert "Traceback" not in done.stderr
    assert {file.name: file.read_bytes() for file in tmp_path.glob("c.*")} == before
