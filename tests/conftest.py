"""What tests share: one Ray instance a session, the real media, single-threaded torch."""

import os
from pathlib import Path

import pytest

_MEDIA_CANDIDATES = (
    os.environ.get("AVREP_MEDIA"),
    str(Path(__file__).parents[2] / "shared" / "media"),
)


@pytest.fixture(scope="session")
def media_root() -> Path:
    """The folder of real clips: $AVREP_MEDIA, or `shared/media` beside the checkout.

    Absent, the test is skipped; with AVREP_REQUIRE_MEDIA=1 (as CI sets it) it fails instead.
    """
    for candidate in _MEDIA_CANDIDATES:
        if candidate and (Path(candidate) / "README.md").is_file():
            return Path(candidate)
    reason = "no real clips here: set AVREP_MEDIA to their folder"
    if os.environ.get("AVREP_REQUIRE_MEDIA") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
