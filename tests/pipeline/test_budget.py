"""The failure budget is a rate that means nothing before its probation is over."""

import pytest

from avrep.errors import FailureBudgetExceeded
from avrep.pipeline.budget import PROBATION_ITEMS, check_failure_budget
from avrep.types import Address, Failure

FAILURE = Failure(address=Address(0, 1), key="a.mp4", stage="open", reason="garbage")


@pytest.mark.parametrize(
    ("num_failed", "num_read", "max_share"),
    [
        (PROBATION_ITEMS - 1, PROBATION_ITEMS - 1, 0.0),
        (0, PROBATION_ITEMS, 0.0),
        (10, 200, 0.05),
        (200, 200, 1.0),
    ],
)
def test_within(num_failed: int, num_read: int, max_share: float) -> None:
    assert check_failure_budget(num_failed, num_read, max_share, FAILURE) is None


@pytest.mark.parametrize(
    ("num_failed", "num_read", "max_share"), [(1, PROBATION_ITEMS, 0.0), (11, 200, 0.05)]
)
def test_beyond(num_failed: int, num_read: int, max_share: float) -> None:
    with pytest.raises(FailureBudgetExceeded, match=f"{num_failed} of {num_read} .*a.mp4: open"):
        check_failure_budget(num_failed, num_read, max_share, FAILURE)
