"""Moving a batch and augmenting it are two steps that give what one gave."""

import warnings
from dataclasses import fields, replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from avrep.augment.video_config import cvrl_view
from avrep.augment.view import augment_view
from avrep.training import inputs
from avrep.training.inputs import augment_views, move_batch
from avrep.types import Address, Batch, View

CPU = torch.device("cpu")
AUGMENTS = tuple(cvrl_view(number, crop_px=24) for number in (1, 1, 2))


@pytest.fixture(scope="module")
def batch() -> Batch:
    rng = np.random.default_rng(0)

    def view(num_frames: int) -> View:
        return View(
            video=rng.integers(0, 256, (3, num_frames, 40, 48, 3), dtype=np.uint8),
            size_px=np.array([[40, 48], [36, 48], [40, 30]], np.int32),
            pts_s=rng.random((3, num_frames)),
            audio=rng.normal(size=(3, 50)).astype(np.float32),
            audio_start_s=rng.random(3),
            first_frame_s=rng.random(3),
            rate_hz=100,
        )

    sound_only = View(
        video=None,
        size_px=np.zeros((3, 2), np.int32),
        pts_s=np.zeros((3, 0)),
        audio=rng.normal(size=(3, 80)).astype(np.float32),
        audio_start_s=rng.random(3),
        rate_hz=100,
    )
    return Batch(
        step=7,
        addresses=(Address(0, 5), Address(0, 2), Address(1, 9)),
        keys=("a", "b", "c"),
        views=(view(4), sound_only, view(6)),
    )


def test_times_and_lengths_are_copied_on_the_host_whichever_thread_asks(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only pictures and sound are for the GPU; and warnings are no thread's own to silence."""
    taken: list[tuple[object, torch.device]] = []

    def to_device(array: npt.NDArray[np.generic], device: torch.device) -> torch.Tensor:
        taken.append((array, device))
        return torch.from_numpy(array.copy())

    monkeypatch.setattr(inputs, "to_device", to_device)
    gpu = torch.device("cuda", 1)
    pts_s, starts_s = batch.views[0].pts_s, batch.views[0].first_frame_s
    assert starts_s is not None
    for array in (pts_s, starts_s):
        monkeypatch.setattr(array.flags, "writeable", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moved = move_batch(batch, gpu)
    wanted = [each for view in batch.views for each in (view.video, view.audio) if each is not None]
    assert len(taken) == len(wanted) == 5
    for (array, device), own in zip(taken, wanted, strict=True):
        assert array is own
        assert device == gpu
    first = moved.views[0].first_frame_s
    assert first is not None
    assert first.device == moved.views[0].pts_s.device == CPU
    assert first.tolist() == starts_s.tolist()
    assert first.data_ptr() != starts_s.ctypes.data


def test_each_view_is_augmented_by_address_and_lane_as_alone(batch: Batch) -> None:
    moved = move_batch(batch, CPU)
    assert moved.step == 7
    views = augment_views(batch, moved.views, AUGMENTS, 11, range(3))
    for lane, (host, view) in enumerate(zip(batch.views, views, strict=True)):
        if host.video is None:
            assert view.video is None
            continue
        alone = augment_view(host, AUGMENTS[lane], batch.addresses, seed=11, lane=lane, device=CPU)
        assert view.video is not None
        assert torch.equal(view.video, alone)


def test_views_of_one_lane_are_augmented_alike(batch: Batch) -> None:
    twice = replace(batch, views=(batch.views[0], batch.views[0]))
    augments = (AUGMENTS[0], AUGMENTS[0])
    moved = move_batch(twice, CPU).views
    for lanes, alike in (((3, 3), True), ((0, 1), False)):
        first, second = augment_views(twice, moved, augments, 11, lanes)
        assert first.video is not None
        assert second.video is not None
        assert torch.equal(first.video, second.video) is alike


def test_what_is_moved_is_the_batchs_own_numbers(batch: Batch) -> None:
    moved = move_batch(batch, CPU).views
    assert len(moved) == 3
    for host, view in zip(batch.views, moved, strict=True):
        for field in fields(view):
            theirs, ours = getattr(host, field.name), getattr(view, field.name)
            if isinstance(theirs, np.ndarray):
                assert np.array_equal(ours.numpy(), theirs)
            else:
                assert ours == theirs
    sound = augment_views(batch, moved, AUGMENTS, 11, range(3))[1]
    assert sound is moved[1]
