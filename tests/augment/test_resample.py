"""Proves the resampling matrices: hand-worked rows, and crop, resize and mirror against torch's own
antialiased resize and against Pillow, for boxes of many sizes.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn.functional import interpolate

from avrep.augment.resample import crop_resize, resample_matrices

CPU = torch.device("cpu")


def matrix(length: int, out_px: int) -> torch.Tensor:
    return resample_matrices(np.array([length]), out_px, CPU)[0]


def test_halving_by_hand():
    # Scale 2: output 0 lies over 1.0; pixels at 0.5, 1.5, 2.5 weigh 3/4, 3/4, 1/4, sum 7/4.
    expected = torch.tensor([[3, 3, 1, 0], [0, 1, 3, 3]]) / 7
    torch.testing.assert_close(matrix(4, 2), expected)


def test_doubling_by_hand():
    # Scale 1/2: outputs lie over 0.25, 0.75, 1.25, 1.75; the outer two see one pixel only.
    expected = torch.tensor([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    torch.testing.assert_close(matrix(2, 4), expected)


def test_same_size_is_the_identity():
    assert torch.equal(matrix(37, 37), torch.eye(37))


def test_shorter_clips_of_a_batch_read_nothing_past_their_length():
    both = resample_matrices(np.array([5, 9]), 7, CPU)
    assert both.shape == (2, 7, 9)
    assert torch.equal(both[0, :, :5], matrix(5, 7))
    assert (both[0, :, 5:] == 0).all()
    torch.testing.assert_close(both.sum(dim=2), torch.ones(2, 7))


@settings(deadline=None)
@given(
    box=st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(1, 90), st.integers(1, 90)),
    out_px=st.integers(8, 64),
    flip=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_equals_torch_antialiased_resize(
    box: tuple[int, int, int, int], out_px: int, flip: bool, seed: int
):
    top, left, height, width = box
    rng = np.random.default_rng(seed)
    shape = (1, 2, top + height + 3, left + width + 5, 3)
    video = torch.from_numpy(rng.integers(0, 256, shape, dtype=np.uint8))
    ours = crop_resize(video, np.array([box], np.int32), np.array([flip]), out_px)
    crop = video[0, :, top : top + height, left : left + width].permute(0, 3, 1, 2).double() / 255
    theirs = interpolate(
        crop, size=(out_px, out_px), mode="bilinear", align_corners=False, antialias=True
    )
    if flip:
        theirs = theirs.flip(-1)
    torch.testing.assert_close(ours[0].transpose(0, 1), theirs.float(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(48, 64), (31, 17), (9, 120)])
def test_equals_pillow(size: tuple[int, int]):
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    box = np.array([[0, 0, *size]], np.int32)
    ours = crop_resize(torch.from_numpy(frame)[None, None], box, np.array([False]), 24)
    for channel in range(3):
        plane = Image.fromarray(frame[:, :, channel].astype(np.float32))
        theirs = np.asarray(plane.resize((24, 24), Image.Resampling.BILINEAR)) / 255
        np.testing.assert_allclose(ours[0, channel, 0].numpy(), theirs, atol=3e-6)


def test_boxes_of_a_batch_do_not_mix():
    rng = np.random.default_rng(1)
    video = torch.from_numpy(rng.integers(0, 256, (3, 4, 40, 50, 3), dtype=np.uint8))
    boxes = np.array([[0, 0, 40, 50], [3, 7, 11, 30], [20, 1, 20, 9]], np.int32)
    flip = np.array([False, True, True])
    together = crop_resize(video, boxes, flip, 16)
    for i in range(3):
        alone = crop_resize(video[i : i + 1], boxes[i : i + 1], flip[i : i + 1], 16)
        assert torch.equal(together[i], alone[0])
