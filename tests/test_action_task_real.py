"""Action recognition end to end on real clips in UCF101's layout, leaving one subject out at a time.

Three classes, three people: what features know of the action must carry over to somebody else in
another room. The table of a colour histogram and of an untrained encoder must look like chance, or
like what rooms and clothes happen to tell; nothing may look like knowledge that is not there.
"""

from pathlib import Path

import pytest

from avrep.action_task import measure_action
from avrep.augment.eval_crops import CropConfig
from avrep.evaluation.action.few_shot import FewShotConfig
from avrep.evaluation.action.measure import ActionTaskConfig
from avrep.evaluation.action.video_encoder import encoder_of_module
from avrep.evaluation.protocols import ProtocolConfig
from avrep.methods import build_encoder
from avrep.models.video_conv import VideoConvConfig
from avrep.sampling.clips import ClipConfig
from avrep.types import Geometry


@pytest.mark.media
@pytest.mark.slow
def test_leave_one_subject_out(media_root: Path, tmp_path: Path) -> None:
    crops = CropConfig(short_side_px=32, crop_px=32)
    network = build_encoder(VideoConvConfig(arch="r3d_18_fast", base_width=4), seed=0)
    encoder = encoder_of_module(
        network,
        "untrained",
        clip=ClipConfig(num_frames=8, stride=4),
        geometry=Geometry(short_side_px=32),
        crops=crops,
    )
    config = ActionTaskConfig(
        num_clips=2,
        num_crops=3,
        protocols=ProtocolConfig(num_resamples=200),
        few_shot=FewShotConfig(num_labels=(1,), num_draws=3),
    )
    root = media_root / "action/gmdcsa24_ucfstyle"
    results = measure_action(encoder, root, "ucf101", tmp_path, config, group_scope="corpus")
    found = {(result.protocol, result.data.part): result for result in results}
    parts = ["split 1", "split 2", "split 3", "mean of 3 splits"]
    assert list(found) == [
        (protocol, part)
        for protocol in ("linear", "knn", "retrieval", "few-shot-1")
        for part in parts
    ]
    sizes = [found["knn", part].data for part in parts]
    assert [(data.num_train, data.num_test) for data in sizes] == [
        (27, 6),
        (24, 9),
        (15, 18),
        (66, 33),
    ]
    for (protocol, part), result in found.items():
        assert any("0 of " in note and "near duplicate" in note for note in result.notes), part
        assert any("3 classes: not UCF101's own lists" in note for note in result.notes)
        assert (result.data.name, result.data.other_lists) == ("gmdcsa24_ucfstyle", True)
        lead = result.metrics[0]
        assert lead.ci_low < lead.value < lead.ci_high or lead.value in (0.0, 1.0)
        # One subject is tested on, so a split's interval has one cluster to go by.
        assert lead.num_clusters == (3 if part.startswith("mean") else 1), protocol
    # Chosen on another subject's clips, held out of the two that train.
    assert found["linear", "split 1"].data.num_valid in (9, 18)
    mean = {metric.name: metric for metric in found["linear", "mean of 3 splits"].metrics}
    values = [found["linear", part].metrics[0].value for part in parts[:3]]
    assert mean["top1"].value == pytest.approx(sum(values) / 3)
    assert mean["top1"].value < 0.8, "an untrained encoder cannot know this"
    assert {"top1_sd", "mean_class", "mean_class_sd"} <= set(mean)
