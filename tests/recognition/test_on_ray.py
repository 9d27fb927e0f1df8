"""Fine-tuning on Ray's stream is fine-tuning on the plain one, to the bit."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from avrep.cluster.stream import ray_stream
from avrep.recognition.data import TaskVideos
from avrep.recognition.finetune import finetune

from .test_finetune import RECIPE, make_encoder


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
def test_streams_are_one(synth_action: TaskVideos, tmp_path: Path) -> None:
    recipe = RECIPE.model_copy(update={"num_epochs": 1})
    on_ray = finetune(
        make_encoder(),
        synth_action,
        recipe,
        tmp_path / "ray",
        open_stream=partial(ray_stream, num_actors=2),
    )
    plain = finetune(make_encoder(), synth_action, recipe, tmp_path / "plain")
    np.testing.assert_array_equal(on_ray.probabilities, plain.probabilities)
