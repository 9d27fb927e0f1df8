"""transformers' pretraining steps of VideoMAE and wav2vec 2.0, in the shapes of avrep's recipes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from avrep.config import RunConfig
from avrep.models.mixed_precision import Precision
from avrep.models.tubelet_vit import TubeletVitConfig
from avrep.models.waveform import Waveform
from avrep.objectives.base import BatchTensors, Objective
from avrep.objectives.videomae import Videomae
from avrep.objectives.wav2vec2 import Wav2vec2

Step = Callable[[], None]
_Model = tuple[Any, dict[str, torch.Tensor]]
"""A model, and what it is given."""
PEERS = ("videomae", "wav2vec2")
"""Methods that transformers pretrains too."""


def peer_step(
    objective: Objective, config: RunConfig, batch: BatchTensors, precision: Precision
) -> Step:
    """One step of transformers' model: forward, backward, AdamW.

    Its inputs, masks and negatives are there already; avrep's step draws its own.

    Args:
        objective: avrep's, whose shapes it is to have.
        config: what that was built from.
        batch: the clips.
        precision: of the forward pass.

    Raises:
        ImportError: transformers is not installed.
        ValueError: transformers has no such method.
    """
    match objective:
        case Videomae():
            model, inputs = _videomae(objective, config, batch)
        case Wav2vec2():
            model, inputs = _wav2vec2(objective, batch)
        case _:
            raise ValueError(f"transformers does not pretrain {config.objective.kind}")
    device = next(iter(inputs.values())).device
    model.to(device).train()
    optim = config.train.optim
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=optim.lr, betas=optim.betas, weight_decay=optim.weight_decay
    )

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = model(**inputs).loss
        loss.backward()
        optimizer.step()

    return step


def _videomae(objective: Videomae, config: RunConfig, batch: BatchTensors) -> _Model:
    import transformers

    vit, decoder = config.video_encoder, objective.config.decoder
    assert isinstance(vit, TubeletVitConfig)
    trunk = objective.encoder.transformer.blocks
    model: Any = transformers.VideoMAEForPreTraining(
        transformers.VideoMAEConfig(
            image_size=vit.crop_px,
            patch_size=vit.patch_px,
            num_frames=vit.num_frames,
            tubelet_size=vit.tubelet_frames,
            hidden_size=objective.encoder.width,
            num_hidden_layers=len(trunk),
            num_attention_heads=_num_heads(objective.encoder.width),
            intermediate_size=4 * objective.encoder.width,
            decoder_hidden_size=decoder.width,
            decoder_num_hidden_layers=decoder.depth,
            decoder_num_attention_heads=decoder.num_heads,
            decoder_intermediate_size=4 * decoder.width,
            use_mean_pooling=False,
        )
    )
    (view,) = batch.views
    assert view.video is not None
    pixels = view.video.transpose(1, 2).contiguous()
    hidden = objective.reconstruct(batch).hidden
    return model, {"pixel_values": pixels, "bool_masked_pos": hidden}


def _wav2vec2(objective: Wav2vec2, batch: BatchTensors) -> _Model:
    import transformers

    encoder: Waveform = objective.encoder
    convolutions: Any = encoder.feature_extractor.conv_layers
    blocks: Any = encoder.encoder.transformer.layers
    own = objective.config
    model: Any = transformers.Wav2Vec2ForPreTraining(
        transformers.Wav2Vec2Config(
            hidden_size=encoder.width,
            num_hidden_layers=len(blocks),
            num_attention_heads=_num_heads(encoder.width),
            intermediate_size=4 * encoder.width,
            conv_dim=tuple(layer.conv.out_channels for layer in convolutions),
            num_codevectors_per_group=own.num_codes,
            num_codevector_groups=own.num_groups,
            codevector_dim=own.projection_width,
            proj_codevector_dim=own.projection_width,
            num_negatives=own.num_distractors,
        )
    )
    (view,) = batch.views
    assert view.audio is not None
    num_clips, num_samples = view.audio.shape
    num_frames = int(model._get_feat_extract_output_lengths(torch.tensor(num_samples)))
    masks = transformers.models.wav2vec2.modeling_wav2vec2._compute_mask_indices(
        (num_clips, num_frames), own.mask_probability, own.mask_length
    )
    negatives = transformers.models.wav2vec2.modeling_wav2vec2._sample_negative_indices(
        (num_clips, num_frames), own.num_distractors, mask_time_indices=masks
    )
    return model, {
        "input_values": view.audio,
        "mask_time_indices": _there(masks, view.audio),
        "sampled_negative_indices": _there(negatives, view.audio),
    }


def _num_heads(width: int) -> int:
    """64 wide each, as all published sizes have them."""
    return width // 64


def _there(array: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(array).to(like.device)
