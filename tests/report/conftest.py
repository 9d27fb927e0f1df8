"""The small run folder that the report's tests read."""

from pathlib import Path

import pytest

from .run_folder import write_run


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    run = tmp_path / "2026-01-05-quickstart"
    write_run(run)
    return run
