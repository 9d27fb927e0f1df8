"""Proves the mean over what ranks hold together in one process; two ranks are met in
tests/objectives/test_hubert.py and test_wav2vec2.py, which hold unequal numbers of terms.
"""

import torch

from avrep.losses.joined_mean import joined_mean


def test_in_one_process_it_is_the_mean() -> None:
    total = torch.tensor([6.0, 5.0], requires_grad=True)
    mean = joined_mean(total, torch.tensor([3, 2]))
    assert mean.tolist() == [2.0, 2.5]
    assert mean.dtype == torch.float32
    mean.sum().backward()
    assert total.grad is not None
    torch.testing.assert_close(total.grad, torch.tensor([1 / 3, 1 / 2]))


def test_of_nothing_it_is_zero() -> None:
    assert joined_mean(torch.tensor(0.0), torch.tensor(0)).item() == 0
