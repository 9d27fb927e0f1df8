"""The hand-made baselines on clips whose answer is known."""

import torch
from torch import Tensor

from evidence.motion import MotionGradients
from evidence.speed import is_nearer, mean_change


def sliding(step_px: int, num_frames: int = 5) -> Tensor:
    """float32[1 3 t 16 16]: a wave that slides to the right by so many pixels a frame."""
    columns = torch.arange(16.0)
    frames = [torch.sin((columns - step_px * i) * torch.pi / 8) for i in range(num_frames)]
    return torch.stack(frames)[None, None, :, None].expand(1, 3, -1, 16, -1)


def test_gradient_products_tell_directions() -> None:
    to_right, to_left = (MotionGradients()(sliding(step)).tokens[0] for step in (1, -1))
    assert to_right.shape == (16, 6)
    # Brightness is constant along the way: I_t = -v I_x.
    assert (to_right[:, 0] < 0).all()
    assert (to_left[:, 0] > 0).all()
    torch.testing.assert_close(-to_right[:, 0], to_right[:, 3], rtol=0.05, atol=0.0)
    # Nothing moves up or down.
    assert torch.equal(to_right[:, [1, 4, 5]], torch.zeros(16, 3))


def test_the_nearer_clip_by_frame_differences() -> None:
    slow, fast = sliding(1), sliding(3)
    both = mean_change(torch.cat([slow, fast]))
    assert both[1] > 2 * both[0]
    other = both.flip(0)
    assert is_nearer(both, both, other).tolist() == [True, True]
    assert is_nearer(both, other, both).tolist() == [False, False]
    assert is_nearer(both, other, other).tolist() == [False, False]
