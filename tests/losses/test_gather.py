"""Proves that one process gathers nothing: the rows come back as they went in, gradient and all.

Several ranks are proved in tests/objectives/test_two_ranks.py, which starts them once for all.
"""

import torch

from avrep.losses.gather import gather_rows


def test_one_process_gets_its_own_rows() -> None:
    rows = torch.randn(3, 2, requires_grad=True)
    gathered, offset = gather_rows(rows)
    assert gathered is rows
    assert offset == 0
