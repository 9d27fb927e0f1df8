"""The report's curves: each measure of health under its own name, whichever encoder it is of."""

import re

import numpy as np

from avrep.report.learning import learning_html
from avrep.report.run_files import Metrics


def shown(*names: str) -> dict[str, list[str]]:
    """Titles of the curves by card."""
    metrics = Metrics(
        steps=np.array([10, 20]), columns={name: np.array([0.25, 0.5]) for name in names}
    )
    cards = re.findall(r"<h2>(.*?)</h2>.*?<div class='curves'>(.*?)</div>", learning_html(metrics))
    return {card: re.findall(r"<figcaption>(.*?)<span>", figures) for card, figures in cards}


def test_health_of_one_encoder_of_several_and_of_a_part() -> None:
    assert shown("loss", "feature_uniformity", "feature_std", "grad_norm") == {
        "Learning": ["Loss"],
        "Health of the features": [
            *("Feature standard deviation", "Feature uniformity", "Gradient norm")
        ],
    }
    both = shown("loss", "video_feature_rank", "audio_feature_rank", "soft_alignment")
    assert both["Health of the features"] == [
        *("Feature effective rank, audio", "Feature effective rank, video"),
        "Alignment of two views, soft",
    ]


def test_the_probe_has_a_card_and_what_nobody_knows_is_with_learning() -> None:
    found = shown("loss", "probe_knn_class", "probe_knn_motion", "offset_top1", "gpu_bytes")
    assert found["Probe while training"] == ["kNN, class", "kNN, motion"]
    assert found["Learning"] == ["Loss", "offset_top1"]
    assert "Probe while training" not in shown("loss")
