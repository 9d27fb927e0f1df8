"""Published recipes have the numbers that decide, taken from papers and released code, not the YAML.

What follows from others is worked out here: learning rates from a base rate and the batch, steps from
epochs and the size of a corpus. A recipe that is not in the table, or one that the table is silent of
where it matters, fails.
"""

from pathlib import Path
from typing import Any

import pytest

from avrep.config import load_config

_CONFIGS = Path(__file__).parents[1] / "configs"
_KINETICS_400 = 215_570
"""Training videos, as the released code of CVRL counts them."""
_DECIDING = (
    "batch_size",
    "num_steps",
    "warmup_steps",
    "schedule",
    "schedule_steps",
    "first_lr",
    "final_lr",
    "max_grad_norm",
    "precision",
    "optim.name",
    "optim.lr",
    "optim.weight_decay",
    "optim.final_weight_decay",
    "optim.decay_vectors",
)
_COMMON = {
    "schedule": "cosine",
    "schedule_steps": None,
    "first_lr": 0.0,
    "final_lr": 0.0,
    "max_grad_norm": None,
    "precision": "bf16",
    "optim.name": "adamw",
    "optim.final_weight_decay": None,
    "optim.decay_vectors": False,
}


def _linear(base: float, batch: int, per: int = 256) -> float:
    """The linear rule: a base rate is for so many items."""
    return base * batch / per


_UTTERANCES = round(1_400_000 / 16_000 / (960.9 * 3600 / 281_241))
"""That a GPU has in a step: 1.4 M samples, of LibriSpeech's mean of 12.3 s."""

_FAIRSEQ = {
    "warmup_steps": 32_000,
    "schedule": "line",
    "optim.lr": 5e-4,
    "optim.betas": (0.9, 0.98),
    "optim.eps": 1e-6,
    "optim.weight_decay": 0.01,
    "optim.decay_vectors": True,
}

_TRAIN: dict[str, dict[str, Any]] = {
    "audiomae_as2m": {
        "batch_size": 8 * 8 * 8,
        "num_steps": pytest.approx(33 * 2_000_000 / 512, rel=0.01),
        "warmup_steps": pytest.approx(3 * 2_000_000 / 512, rel=0.01),
        "optim.lr": _linear(2e-4, 8 * 8 * 8),
        "optim.betas": (0.9, 0.95),
        "optim.weight_decay": 1e-4,
    },
    "cvrl_k400": {
        "batch_size": 1024,
        "num_steps": pytest.approx(200 * _KINETICS_400 / 1024, abs=1),
        "warmup_steps": pytest.approx(5 * _KINETICS_400 / 1024, abs=1),
        "optim.name": "sgd",
        "optim.lr": 0.32,
        "optim.momentum": 0.9,
        "optim.weight_decay": 1e-6,
    },
    "hubert_ls960": {
        **_FAIRSEQ,
        "batch_size": 32 * _UTTERANCES,
        "num_steps": 250_000,
        "max_grad_norm": 10.0,
    },
    # Of 512 videos: the rule counts them, not their clips.
    "mae_st_k400": {
        "batch_size": 512 * 4,
        "num_steps": pytest.approx(100 * _KINETICS_400 / 512, abs=1),
        "warmup_steps": pytest.approx(5 * _KINETICS_400 / 512, abs=1),
        "max_grad_norm": 0.02,
        "optim.lr": _linear(1.6e-3, 512),
        "optim.betas": (0.9, 0.95),
        "optim.weight_decay": 0.05,
    },
    "rspnet_k400": {
        "batch_size": 4 * 64,
        "num_steps": pytest.approx(200 * _KINETICS_400 / 256, abs=1),
        "warmup_steps": 0,
        "final_lr": pytest.approx(_linear(0.1, 4 * 64, per=64) / 1000),
        "precision": "fp32",
        "optim.name": "sgd",
        "optim.lr": _linear(0.1, 4 * 64, per=64),
        "optim.momentum": 0.9,
        "optim.weight_decay": 1e-4,
        "optim.decay_vectors": True,
    },
    "segment_avclip_vggsound": {
        "batch_size": 16 * 2,
        "num_steps": 20 * 170_000 / 32,
        "warmup_steps": 1000,
        "max_grad_norm": 1.0,
        "optim.lr": 1e-4,
        "optim.betas": (0.9, 0.999),
        "optim.weight_decay": 0.0,
    },
    "ssast_as_ls": {
        "batch_size": 24,
        "num_steps": pytest.approx(10 * 2_100_000 / 24, rel=0.02),
        "warmup_steps": 1000,
        "precision": "fp32",
        "optim.lr": 1e-4,
        "optim.betas": (0.95, 0.999),
        "optim.weight_decay": 5e-7,
        "optim.decay_vectors": True,
    },
    # Constant after a warm-up from a hundredth; how long is avrep's choice.
    "synchformer_vggsound": {
        "batch_size": 16,
        "num_steps": 500_000,
        "warmup_steps": 1000,
        "first_lr": pytest.approx(2e-6 / 100),
        "final_lr": 2e-6,
        "max_grad_norm": 1.0,
        "optim.lr": 2e-6,
        "optim.betas": (0.9, 0.999),
        "optim.weight_decay": 0.0,
    },
    # Nothing of its training is published: avrep's choice.
    "syncnet_bbc": {
        "batch_size": 64,
        "num_steps": 100_000,
        "warmup_steps": 1000,
        "optim.lr": 1e-4,
        "optim.weight_decay": 0.0,
    },
    "videomae_k400": {
        "batch_size": 1024,
        "num_steps": pytest.approx(800 * _KINETICS_400 / 1024, abs=1),
        "warmup_steps": pytest.approx(40 * _KINETICS_400 / 1024, abs=1),
        "final_lr": pytest.approx(_linear(1e-5, 1024)),
        "optim.lr": pytest.approx(_linear(1.5e-4, 1024)),
        "optim.betas": (0.9, 0.95),
        "optim.weight_decay": 0.05,
    },
    "vjepa_vm2m": {
        "batch_size": 16 * 8 * 24,
        "num_steps": 300 * 300,
        "warmup_steps": 40 * 300,
        "schedule_steps": 1.25 * 300 * 300,
        "first_lr": 2e-4,
        "final_lr": 1e-6,
        "max_grad_norm": 10.0,
        "optim.lr": 6.25e-4,
        "optim.betas": (0.9, 0.999),
        "optim.weight_decay": 0.04,
        "optim.final_weight_decay": 0.4,
    },
    "wav2vec2_ls960": {**_FAIRSEQ, "batch_size": 64 * _UTTERANCES, "num_steps": 400_000},
}

_OBJECTIVES: dict[str, dict[str, Any]] = {
    "audiomae_as2m": {"mask_ratio": 0.8, "decoder.depth": 16, "decoder.width": 512},
    "cvrl_k400": {
        "sampler.num_frames": 16,
        "sampler.stride": 2,
        "crop_px": 224,
        "temperature": 0.1,
        "head.hidden_width": 2048,
        "head.out_width": 128,
    },
    "hubert_ls960": {
        "mask_probability": 0.8,
        "mask_length": 10,
        "num_classes": 100,
        "label_rate_hz": 100,
        "layer_drop": 0.05,
        "penalty_weight": 10.0,
        "feature_gradient_scale": 0.1,
    },
    "mae_st_k400": {
        "mask_ratio": 0.9,
        "sampler.num_frames": 16,
        "sampler.stride": 4,
        "sampler.fps": 30,
        "num_target_frames": 8,
        "decoder.width": 512,
        "decoder.depth": 4,
    },
    "rspnet_k400": {
        "sampler.num_frames": 32 / 2,
        "sampler.normal_share": 0.5,
        "temperature": 0.07,
        "margin": 2.0,
        "queue_size": 16_384,
        "momentum": 0.999,
    },
    "segment_avclip_vggsound": {
        "sampler.num_frames": 14 * 16,
        "sampler.fps": 25.0,
        "sampler.jitter_s": 0.05,
        "segment_frames": 16,
        "hop_frames": 16,
        "temperature": 0.07,
        "temperature_range": (0.001, 0.5),
    },
    "ssast_as_ls": {"mask_ratio": 400 / 512, "cluster": (3, 5), "generative_weight": 10.0},
    "synchformer_vggsound": {
        "sampler.num_frames": 5 * 25,
        "sampler.num_offsets": 21,
        "sampler.max_offset_s": 2.0,
        "sampler.jitter_s": 0.05,
        "segment_frames": 16,
        "hop_frames": 16 / 2,
        "transformer.width": 768,
        "transformer.depth": 3,
        "transformer.num_heads": 8,
    },
    "syncnet_bbc": {"segment_frames": 5, "max_shift": 15, "head.out_width": 1024},
    "videomae_k400": {
        "mask_ratio": 0.9,
        "sampler.num_frames": 16,
        "sampler.stride": 4,
        "decoder.width": 384,
        "decoder.depth": 4,
        "normalise_targets": True,
    },
    "vjepa_vm2m": {
        "masks.0.num_blocks": 8,
        "masks.0.scale": 0.15,
        "masks.1.num_blocks": 2,
        "masks.1.scale": 0.7,
        "predictor.width": 384,
        "predictor.depth": 12,
        "momentum": (0.998, pytest.approx(0.998 + (1 - 0.998) / 1.25)),
    },
    "wav2vec2_ls960": {
        "mask_probability": 0.65,
        "mask_length": 10,
        "num_distractors": 100,
        "temperature": 0.1,
        "num_groups": 2,
        "num_codes": 320,
        "gumbel_decay": 0.999995,
        "diversity_weight": 0.1,
        "penalty_weight": 10.0,
        "layer_drop": 0.05,
        "feature_gradient_scale": 0.1,
    },
}


def test_every_published_recipe_is_in_the_tables() -> None:
    published = {path.stem for path in _CONFIGS.glob("*.yaml")} - {"quickstart"}
    assert published == set(_TRAIN) == set(_OBJECTIVES)


@pytest.mark.parametrize("name", _TRAIN)
def test_it_is_trained_as_published(name: str) -> None:
    wanted = {**_COMMON, **_TRAIN[name]}
    assert set(_DECIDING) <= wanted.keys()
    train = load_config(_CONFIGS / f"{name}.yaml").train
    assert {path: _value(train, path) for path in wanted} == wanted


@pytest.mark.parametrize("name", _OBJECTIVES)
def test_its_objective_is_as_published(name: str) -> None:
    objective, wanted = load_config(_CONFIGS / f"{name}.yaml").objective, _OBJECTIVES[name]
    assert {path: _value(objective, path) for path in wanted} == wanted


def test_mae_st_decodes_a_video_once_for_four_clips() -> None:
    assert load_config(_CONFIGS / "mae_st_k400.yaml").data.draws_per_visit == 4


def _value(config: object, path: str) -> object:
    for name in path.split("."):
        config = config[int(name)] if isinstance(config, tuple) else getattr(config, name)
    return config
