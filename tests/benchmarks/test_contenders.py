"""All contenders give the same clips: checked on the synthetic corpus, and the check on planted faults."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from avrep.media.catalog import Catalog
from benchmarks import peers_plain, sound
from benchmarks.bound import decode_to_last
from benchmarks.check import Agreement, check, psnr_db, squared_error
from benchmarks.contenders import CONTENDERS, PROCESSES, Contender
from benchmarks.growth import grow_catalog, open_cost
from benchmarks.peers_plain import Delivered
from benchmarks.suite_sound import compare
from benchmarks.workload import Workload, even_rows, jobs

_NUM_FRAMES, _STRIDE = 8, 3


@pytest.fixture(scope="module")
def workload(synth_catalog: Catalog) -> Workload:
    rows = even_rows(synth_catalog, _NUM_FRAMES, _STRIDE)
    return Workload(
        name="synthetic",
        catalog=synth_catalog.path,
        rows=tuple(rows[:8]),
        fps=24.0,
        stride=_STRIDE,
        num_frames=_NUM_FRAMES,
    )


def named(name: str) -> Contender:
    return next(contender for contender in CONTENDERS if contender.name == name)


def agreement(contender: Contender, workload: Workload) -> Agreement:
    found = check(contender, workload)
    assert found.num_clips == 16
    return found


@pytest.mark.parametrize(
    "name", ["DataLoader, PyAV", "DataLoader, decord", "DataLoader, torchcodec", PROCESSES]
)
def test_contenders_give_the_wanted_frames(name: str, workload: Workload) -> None:
    if "torchcodec" in name:
        pytest.importorskip("torchcodec.decoders")
    found = agreement(named(name), workload)
    assert found.right_frames == 1.0
    assert found.psnr_db > 30


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pytorchvideo, PyAV", "pytorchvideo, decord"])
def test_pytorchvideo_gives_the_wanted_frames(name: str, workload: Workload) -> None:
    found = agreement(named(name), workload)
    assert found.right_frames == 1.0
    # It takes every other pixel's neighbours where avrep averages.
    assert found.psnr_db > 25


def test_the_check_sees_frames_that_are_one_late(workload: Workload) -> None:
    def read_late(job: sound.Job) -> tuple[torch.Tensor, ...]:
        late = [
            type(view)(frames_s=view.frames_s + 1 / job.video.fps, audio_s=None)
            for view in job.views
        ]
        return peers_plain.read_with_pyav(
            type(job)(path=job.path, item=job.item, views=tuple(late))
        )

    def open_late(workload: Workload, num_passes: int):
        return peers_plain.loader(read_late, list(jobs(workload, num_passes)), 4)

    assert agreement(Contender(name="late", open=open_late), workload).right_frames < 0.5


def test_the_check_refuses_clips_of_another_form_or_number(workload: Workload) -> None:
    @contextmanager
    def opened(size_px: int, num_batches: int, *_: object) -> Iterator[Iterator[Delivered]]:
        view = np.zeros((4, _NUM_FRAMES, size_px, size_px, 3), np.uint8)
        yield iter([(view, view)] * num_batches)

    with pytest.raises(RuntimeError, match="gave 8 clips"):
        check(Contender(name="few", open=partial(opened, 128, 1)), workload)
    with pytest.raises(RuntimeError, match="gave frames of"):
        check(Contender(name="small", open=partial(opened, 64, 2)), workload)


def test_errors_are_mean_squares_over_the_common_pixels() -> None:
    ours, theirs = np.zeros((1, 4, 6, 3), np.uint8), np.full((1, 4, 5, 3), 5, np.uint8)
    assert squared_error(theirs, ours).tolist() == [25.0]
    assert psnr_db(255.0**2) == 0.0
    assert psnr_db(25.0) == pytest.approx(34.151, abs=1e-3)


def test_the_bound_decodes_from_the_key_frame_before_to_the_last_wanted_frame(
    workload: Workload,
) -> None:
    job = next(jobs(workload, 1))
    # Key frames stand 12 frames apart in this corpus; the times are middles of frames at 24 a second.
    assert job.video.fps == 24
    assert decode_to_last(job, [(14 + 0.5) / 24, (20 + 0.5) / 24]) == 20 - 12 + 1
    assert decode_to_last(job, [0.5 / 24]) == 1


def test_even_rows_are_of_one_size_and_rate_and_long_enough(synth_catalog: Catalog) -> None:
    rows = even_rows(synth_catalog, 8, 3)
    assert len(rows) == 24  # 24 videos, and a timing clip that fills no batch of four.
    assert even_rows(synth_catalog, 64, 8) == []


def test_jobs_go_through_every_row_once_a_pass(workload: Workload) -> None:
    keys = [job.item.key for job in jobs(workload, 2)]
    assert len(set(keys[:8])) == len(set(keys[8:])) == 8
    first, again = next(jobs(workload, 1)), next(jobs(workload, 1))
    assert first.views[0].frames_s.tolist() == again.views[0].frames_s.tolist()


def test_a_grown_catalogue_repeats_the_small_one_under_new_keys(
    synth_catalog: Catalog, tmp_path: Path
) -> None:
    path = grow_catalog(synth_catalog.path, tmp_path / "grown.parquet", 10_000)
    grown = Catalog.open(path)
    assert len(grown) == 10_000
    assert len(set(grown.keys())) == 10_000
    row = 5 * len(synth_catalog) + 3
    assert grown[row].shard == synth_catalog[3].shard
    assert grown[row].length_bytes == synth_catalog[3].length_bytes
    assert pq.ParquetFile(path).num_row_groups == 3
    cost = open_cost(path)
    assert cost.num_rows == 10_000
    assert cost.clips_per_s > 0


@pytest.mark.parametrize("read", [sound.with_pyav, sound.with_torchcodec, sound.with_torchaudio])
def test_readers_of_sound_give_the_same_crop(
    read: peers_plain.ReadItem, synth_catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    if read is not sound.with_pyav:
        pytest.importorskip("torchcodec.decoders")
    monkeypatch.setattr(sound, "CROP_S", 0.5)
    monkeypatch.setattr(sound, "NUM_SAMPLES", 8000)
    rows = [row for row, item in enumerate(synth_catalog) if item.key.startswith("speech")]
    (job,) = sound.crops(synth_catalog, rows[:1], 1, with_picture=False)
    ours, theirs = (one(job)[0].numpy() for one in (sound.with_avrep, read))
    snr_db, lag_ms = compare(ours, theirs)
    assert snr_db > 30
    assert lag_ms == 0


def test_a_shift_and_a_noise_of_sound_are_found() -> None:
    ours = np.random.default_rng(0).normal(size=16000)
    assert compare(ours, np.roll(ours, 160))[1] == 10.0
    assert compare(ours, np.roll(ours, -160))[1] == -10.0
    assert compare(ours, 1.1 * ours)[0] == pytest.approx(20.0)
