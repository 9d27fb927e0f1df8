"""Decoding of characters into words of a lexicon, weighed by a language model, for ASR with an LM.

torchaudio's interface to Flashlight's beam search (Kahn et al., arXiv 2201.12465), with the settings of
SUPERB. It needs flashlight-text, which is the extra `avrep[lexicon]`; its wheels have KenLM in them.
"""

from pathlib import Path
from typing import Protocol

from pydantic import Field
from torch import Tensor

from avrep.errors import ConfigError
from avrep.evaluation.superb.vocabulary import CHARACTERS
from avrep.frozen import FrozenConfig


class LexiconDecoderConfig(FrozenConfig):
    """Files and settings; the defaults are SUPERB's."""

    lexicon: Path
    """A word a line, then its spelling: `ABLE<tab>A B L E |`. SUPERB's is fairseq's
    librispeech_lexicon.lst."""
    language_model: Path | None = None
    """A word n-gram, ARPA or KenLM's binary form; SUPERB's is openslr.org/11's 4-gram.arpa. None: every
    word of the lexicon is as likely as any other."""
    beam_size: int = Field(default=5, ge=1)
    beam_threshold: float = Field(default=25.0, gt=0)
    """How much less than the best a hypothesis may score and stay, in nats."""
    lm_weight: float = 2.0
    word_score: float = -1.0
    """Added for each word."""
    silence_score: float = 0.0
    """Added for each `|`."""

    def note(self) -> str:
        """What results must tell."""
        lm = self.language_model
        model = "no language model" if lm is None else f"{lm.name} of {lm.stat().st_size} bytes"
        return (
            f"wer_lm: words of {self.lexicon.name}, {model}, beam {self.beam_size}, threshold "
            f"{self.beam_threshold:g}, LM weight {self.lm_weight:g}, word score {self.word_score:g}, "
            f"silence {self.silence_score:g}"
        )


class _Decoder(Protocol):
    def __call__(self, emissions: Tensor) -> "list[list[_Hypothesis]]": ...


class _Hypothesis(Protocol):
    @property
    def words(self) -> list[str]: ...


class LexiconDecoder:
    """A decoder of CTC heads over `CHARACTERS`.

    Raises:
        ConfigError: a file or a package is missing, or a file is not what it should be.
    """

    def __init__(self, config: LexiconDecoderConfig) -> None:
        for path in (config.lexicon, config.language_model):
            if path is not None and not path.is_file():
                raise ConfigError(f"no file {path} for the lexicon decoder")
        self._decode = _build(config)

    def words(self, log_probs: Tensor) -> tuple[str, ...]:
        """The words of the best hypothesis; none if no word fits.

        Args:
            log_probs: float32[n v] of `CHARACTERS`, on the CPU.
        """
        hypotheses = self._decode(log_probs[None].contiguous())[0]
        return tuple(hypotheses[0].words) if hypotheses else ()


def _build(config: LexiconDecoderConfig) -> _Decoder:
    try:
        from torchaudio.models.decoder import ctc_decoder
    except RuntimeError:
        raise ConfigError(
            "decoding with a lexicon needs flashlight-text. Mend: pip install 'avrep[lexicon]'"
        ) from None
    lm = config.language_model
    try:
        return ctc_decoder(
            lexicon=str(config.lexicon),
            tokens=list(CHARACTERS.symbols),
            lm=None if lm is None else str(lm),
            beam_size=config.beam_size,
            beam_threshold=config.beam_threshold,
            lm_weight=config.lm_weight,
            word_score=config.word_score,
            sil_score=config.silence_score,
            blank_token=CHARACTERS.symbols[CHARACTERS.blank],
            sil_token="|",
        )
    except (RuntimeError, ValueError) as error:
        if "KenLM is not installed" in str(error):
            raise ConfigError(
                "this flashlight-text was built without KenLM, which a language model needs. "
                "Mend: pip install 'avrep[lexicon]'"
            ) from None
        reason = " ".join(str(error).split())
        raise ConfigError(
            f"the lexicon decoder refuses its files: {reason}. Mend: a lexicon has lines "
            "'ABLE<tab>A B L E |' of upper-case letters, a language model is ARPA or KenLM's own form"
        ) from None
