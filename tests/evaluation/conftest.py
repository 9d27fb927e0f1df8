"""One thread for the small matrices of these tests: more threads wait for one another."""

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="package")
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield
