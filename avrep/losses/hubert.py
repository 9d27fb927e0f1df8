"""HuBERT's masked prediction of cluster numbers."""

import torch
from torch import Tensor
from torch.nn import functional


def cluster_logits(projected: Tensor, embeddings: Tensor, *, temperature: float) -> Tensor:
    """Cosine of each frame with each cluster's embedding, divided by T.

        p(c | t) = exp(cos(o_t, e_c) / T) / sum_c' exp(cos(o_t, e_c') / T)

    is their softmax: Hsu et al., arXiv 2106.07447, equation 3, over all clusters. fairseq writes it
    as a choice between the right embedding and all, among which the right one's double is set to
    minus infinity; that is the same. Computed in float32 whatever the autocast.

    Args:
        projected: float[m d], transformer outputs behind the projection.
        embeddings: float[C d].
        temperature: T, positive; HuBERT's is 0.1.

    Returns:
        float32[m C].
    """
    with torch.autocast(projected.device.type, enabled=False):
        frames = functional.normalize(projected.float(), dim=1)
        clusters = functional.normalize(embeddings.float(), dim=1)
        return frames @ clusters.T / temperature


def frame_labels(
    labels: Tensor, num_frames: int, frames_per_s: float, label_rate_hz: int
) -> Tensor:
    """The label of each feature frame: frame i takes label floor(i * label_rate_hz / frames_per_s).

    Args:
        labels: int64[b k] at `label_rate_hz`, the first at the clip's first sample.
        num_frames: n, feature frames of the longest clip.
        frames_per_s: rate of the feature frames, 50 for a waveform encoder.
        label_rate_hz: 100 for clusters of MFCCs, 50 for clusters of the encoder's own features.

    Returns:
        int64[b n].

    Raises:
        ValueError: the labels end before the last frame.
    """
    frames = torch.arange(num_frames, device=labels.device, dtype=torch.float64)
    # Rates are whole numbers or simple ratios: a double must not fall just short of one.
    places = (frames * (label_rate_hz / frames_per_s) + 1e-6).long()
    if num_frames and int(num_frames - 1) * label_rate_hz / frames_per_s >= labels.shape[1]:
        raise ValueError(
            f"{labels.shape[1]} labels at {label_rate_hz} Hz do not reach the last of {num_frames} "
            f"frames at {frames_per_s:g} Hz; is the labels' rate right?"
        )
    return labels[:, places]
