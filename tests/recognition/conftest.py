"""What these tests share: the synthetic corpus as a task, and a stream that tells what was asked."""

import pytest

from avrep.evaluation.tasks import catalog_task
from avrep.media.catalog import Catalog
from avrep.recognition.data import TaskVideos

from .watched import Watched


@pytest.fixture(scope="session")
def synth_action(synth_catalog: Catalog) -> TaskVideos:
    """Slow and fast motion: 16 train videos, 8 test videos."""
    task = catalog_task(synth_catalog, synth_catalog.rows_with(video=True))
    return TaskVideos(catalog=synth_catalog, task=task, label="speed")


@pytest.fixture
def watched() -> Watched:
    return Watched()
