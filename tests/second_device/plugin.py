"""`python -m pytest -p tests.second_device.plugin`: tests whose runs are on the second device."""

from collections.abc import Iterator

import pytest

from avrep.training import parallel
from tests.second_device.tensors import SecondDevice, second_device

_DEVICE = second_device()


@pytest.fixture(autouse=True, scope="session")
def _runs_are_there() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch, SecondDevice():
        patch.setattr(parallel, "named_device", lambda _name, _gpu: _DEVICE)
        yield
