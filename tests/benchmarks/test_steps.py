"""Every recipe's step can be timed, and its operations are those counted by hand."""

from collections.abc import Callable

import pytest

from benchmarks import steps
from benchmarks.random_batch import random_batch
from benchmarks.step_cases import CASES, StepCase
from benchmarks.steps import Setting, measure

_SMALL = StepCase(
    recipe="videomae_k400",
    size="micro",
    overrides=(
        "video_encoder={kind: tubelet_vit, size: micro, patch_px: 8, num_frames: 4, crop_px: 32}",
        "objective.sampler.num_frames=4",
        "objective.crop_px=32",
        "objective.mask_ratio=0.75",
        "objective.decoder={width: 48, depth: 1, num_heads: 2}",
    ),
)
_SETTING = Setting(device="cpu", precision="fp32", num_items=2, num_steps=1, num_threads=1)


def _noted(done: list[str], work: Callable[..., object]) -> Callable[..., object]:
    """The same, and its name is added to what was done."""

    def noted(*given: object) -> object:
        done.append(work.__name__)
        return work(*given)

    return noted


def test_all_recipes_and_sizes_are_configs() -> None:
    methods = {case.method for case in CASES}
    assert len(methods) == 12
    assert len({(case.method, case.size) for case in CASES}) == len(CASES)


def test_noise_has_the_form_that_is_asked_for() -> None:
    batch = random_batch(_SMALL.build(), 2)
    (view,) = batch.views
    assert view.video is not None
    assert view.video.shape == (2, 3, 4, 32, 32)
    assert len(batch.addresses) == 2


@pytest.mark.slow
def test_operations_are_those_counted_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    done: list[str] = []
    for name in ("_peak_bytes", "peer_step"):
        monkeypatch.setattr(steps, name, _noted(done, getattr(steps, name)))
    cost = measure(_SMALL, _SETTING)
    # Of avrep's step alone: the peer has no memory yet.
    assert done == ["_peak_bytes", "peer_step"]

    def block(tokens: int, width: int) -> int:
        return 2 * 12 * width**2 * tokens + 2 * 2 * tokens**2 * width

    # 2 x 4 x 4 cubes of 384 values, of which 8 are seen and 24 predicted, in each of two clips.
    patches = 2 * 8 * 384 * 96
    forward = 4 * block(8, 96) + block(32, 48) + 2 * (8 * 96 * 48 + 24 * 48 * 384)
    # Backward has two products for each; but the patches' inputs need no gradient.
    assert cost.flops == pytest.approx(2 * (3 * forward + 2 * patches), rel=0.05)
    assert cost.num_clips == 2
    assert cost.peak_bytes is None
    assert cost.peer_ratio is not None
    assert cost.peer_ratio.median > 0
