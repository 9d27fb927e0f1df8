"""`torchaudio:NAME`: a pipeline of torchaudio whose weights are on this machine already."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional

from avrep.errors import ConfigError
from avrep.evaluation.sound.equal_lengths import by_equal_lengths
from avrep.evaluation.sound.upstream import HiddenStates, Upstream, encoder_digest
from avrep.evaluation.task_result import EncoderFacts

_URL = "https://download.pytorch.org/torchaudio/models"


class TorchaudioUpstream(Upstream):
    """HuBERT, wav2vec 2.0 or WavLM as torchaudio has them.

    `extract_features` gives the layers' outputs; their common input is put before them, and the
    final norm of large follows the last one: 13 states of base, as SUPERB weighs. Sounds of one
    length are computed together and none is padded, so that each has what it has alone.

    Args:
        model: a `torchaudio.models.Wav2Vec2Model`.
        name: as it was asked for.
        normalises: whether each sound is brought to mean 0 and variance 1 first.
        device: where it computes.
    """

    def __init__(
        self, model: nn.Module, name: str, *, normalises: bool, device: torch.device
    ) -> None:
        self._model: Any = model.eval().to(device)
        self._normalises = normalises
        transformer = self._model.encoder.transformer
        self.facts = EncoderFacts(
            name=name,
            digest=encoder_digest(model, normalises),
            num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        )
        self.num_states = len(transformer.layers) + 1
        self.width = transformer.layer_norm.normalized_shape[0]
        self.frame_samples, self.min_samples = 320, 400
        self.device = device

    def hidden_states(self, waves: Sequence[Tensor]) -> HiddenStates:
        return by_equal_lengths(waves, self._equal)

    def _equal(self, clips: Tensor) -> Tensor:
        clips = clips.to(self.device)
        if self._normalises:
            clips = functional.layer_norm(clips, clips.shape[1:])
        transformer = self._model.encoder.transformer
        inputs: list[Tensor] = []
        # The input of the layers is nowhere given out.
        hook = transformer.layers[0].register_forward_pre_hook(
            lambda _, given: inputs.append(given[0])
        )
        try:
            layers, _ = self._model.extract_features(clips)
        finally:
            hook.remove()
        # torchaudio calls the norm before the first layer, not that inside layers, "first" here.
        if not transformer.layer_norm_first:
            layers[-1] = transformer.layer_norm(layers[-1])
        return torch.stack([inputs[0], *layers])


def torchaudio_upstream(
    pipeline: str, name: str, device: torch.device | None = None
) -> TorchaudioUpstream:
    """Load a pipeline's weights from where torch.hub keeps them; nothing is fetched.

    Raises:
        ConfigError: there is no such pipeline, or its weights are not there.
    """
    bundles = {
        known: bundle
        for known, bundle in vars(torchaudio.pipelines).items()
        # Not those for alignment, whose model has another head around it.
        if type(bundle)
        in (torchaudio.pipelines.Wav2Vec2Bundle, torchaudio.pipelines.Wav2Vec2ASRBundle)
    }
    if pipeline not in bundles:
        known = ", ".join(sorted(bundles))
        raise ConfigError(f"torchaudio has no pipeline {pipeline!r} of speech; it has {known}")
    bundle: Any = bundles[pipeline]
    weights = Path(torch.hub.get_dir()) / "checkpoints" / bundle._path
    if not weights.is_file():
        raise ConfigError(
            f"the weights of {name} are not at {weights}. Mend: fetch {_URL}/{bundle._path} to there"
        )
    model = bundle.get_model(dl_kwargs={"weights_only": True, "progress": False})
    return TorchaudioUpstream(
        getattr(model, "model", model),
        name,
        normalises=bool(getattr(model, "normalize_waveform", False)),
        device=device or torch.device("cpu"),
    )
