"""Proves the decoder with a lexicon: words that are heard, or nearly; a language model that prefers
another; and that what is missing is named.
"""

import math
import re
import sys
from itertools import groupby, product
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avrep.errors import ConfigError
from avrep.evaluation.superb.lexicon_decoder import LexiconDecoder, LexiconDecoderConfig
from avrep.evaluation.superb.vocabulary import CHARACTERS

LEXICON = "SEE\tS E E |\nSEA\tS E A |\nTHE\tT H E |\nI\tI |\n"
ARPA = """
\\data\\
ngram 1=7
ngram 2=2

\\1-grams:
-1.0\t</s>
-99\t<s>\t-0.3
-2.0\t<unk>
-1.0\tTHE\t-0.3
-1.0\tI\t-0.3
-1.0\tSEE\t-0.3
-1.0\tSEA\t-0.3

\\2-grams:
-0.1\tTHE SEA
-0.1\tI SEE

\\end\\
"""


@pytest.fixture
def lexicon(tmp_path: Path) -> Path:
    path = tmp_path / "lexicon.lst"
    path.write_text(LEXICON)
    return path


def heard(text: str, **likely: str) -> Tensor:
    """Log-probabilities of a blank before each character, and of some characters instead of others."""
    frames = torch.full((2 * len(text), len(CHARACTERS)), 0.001)
    for place, character in enumerate(text):
        frames[2 * place, CHARACTERS.blank] = 1
        frames[2 * place + 1, CHARACTERS.target(character)[0]] = 1
        for other in likely.get(character, ""):
            frames[2 * place + 1, CHARACTERS.target(other)[0]] = 0.9
    return (frames / frames.sum(dim=1, keepdim=True)).log()


def test_words_of_the_lexicon(lexicon: Path) -> None:
    decoder = LexiconDecoder(LexiconDecoderConfig(lexicon=lexicon))
    assert decoder.words(heard("I|SEE|THE|SEA|")) == ("I", "SEE", "THE", "SEA")
    # What is no word becomes the nearest one.
    assert decoder.words(heard("SEX|")) in {("SEE",), ("SEA",)}
    assert decoder.words(heard("TXE|I|")) == ("THE", "I")


def best_words(log_probs: Tensor, words: dict[str, str]) -> tuple[str, ...]:
    """Of all paths over the frames that spell words of the lexicon, the likeliest; a word costs 1."""
    tokens = [token for token in range(log_probs.shape[1]) if log_probs[0, token] > -50]
    spelt = re.compile(f"\\|*(?:(?:{'|'.join(map(re.escape, words.values()))})\\|*)*")
    best, found = -math.inf, ()
    for path in product(tokens, repeat=len(log_probs)):
        text = "".join(CHARACTERS.read([token for token, _ in groupby(path)]))
        if spelt.fullmatch(text):
            said = tuple(text.replace("|", " ").split())
            score = sum(float(log_probs[i, token]) for i, token in enumerate(path)) - len(said)
            if score > best:
                best, found = score, said
    return found


@pytest.mark.parametrize("seed", range(6))
def test_against_all_paths(tmp_path: Path, seed: int) -> None:
    words = {"I": "I|", "A": "A|", "IA": "IA|"}
    lexicon = tmp_path / "lexicon.lst"
    lexicon.write_text("".join(f"{word}\t{' '.join(words[word])}\n" for word in words))
    frames = torch.full((6, len(CHARACTERS)), -100.0)
    heard = [CHARACTERS.blank, *CHARACTERS.target("|IA")[:-1]]
    rng = torch.Generator().manual_seed(seed)
    frames[:, heard] = 4 * torch.randn(6, 4, generator=rng)
    log_probs = frames.log_softmax(dim=1)
    wide = LexiconDecoderConfig(lexicon=lexicon, beam_size=500, beam_threshold=1e4)
    assert LexiconDecoder(wide).words(log_probs) == best_words(log_probs, words)


def test_words_by_a_language_model(lexicon: Path) -> None:
    model = lexicon.with_name("lm.arpa")
    model.write_text(ARPA.lstrip())
    plain = LexiconDecoder(LexiconDecoderConfig(lexicon=lexicon))
    with_lm = LexiconDecoder(LexiconDecoderConfig(lexicon=lexicon, language_model=model))
    # The last E of SEE is nearly an A: alone the E wins, but after THE the model knows only SEA.
    sounds = torch.cat([heard("THE|SE"), heard("E|", E="A")])
    assert plain.words(sounds) == ("THE", "SEE")
    assert with_lm.words(sounds) == ("THE", "SEA")
    assert with_lm.words(heard("I|SEE|")) == ("I", "SEE")


def test_missing_files(lexicon: Path) -> None:
    absent = lexicon.with_name("4-gram.arpa")
    with pytest.raises(ConfigError, match=r"no file .*4-gram.arpa for the lexicon decoder"):
        LexiconDecoder(LexiconDecoderConfig(lexicon=lexicon, language_model=absent))
    with pytest.raises(ConfigError, match="no file"):
        LexiconDecoder(LexiconDecoderConfig(lexicon=absent))


def test_malformed_files(lexicon: Path) -> None:
    for text in ("able\ta b l e |\n", "ABLE\n"):
        lexicon.write_text(text)
        with pytest.raises(ConfigError, match=r"refuses its files: .* upper-case letters"):
            LexiconDecoder(LexiconDecoderConfig(lexicon=lexicon))


def test_without_kenlm(lexicon: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchaudio.models.decoder._ctc_decoder._KenLM", None)
    with pytest.raises(ConfigError, match=r"built without KenLM.* Mend: pip install"):
        LexiconDecoder(LexiconDecoderConfig(lexicon=lexicon, language_model=lexicon))


def test_missing_package(lexicon: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchaudio.models.decoder as decoder

    monkeypatch.delitem(vars(decoder), "ctc_decoder", raising=False)
    monkeypatch.delitem(vars(decoder), "_ctc_decoder", raising=False)
    monkeypatch.delitem(sys.modules, "torchaudio.models.decoder._ctc_decoder", raising=False)
    monkeypatch.setitem(sys.modules, "flashlight.lib.text.decoder", None)
    with pytest.raises(
        ConfigError, match=r"needs flashlight-text. Mend: pip install 'avrep\[lexicon\]'"
    ):
        LexiconDecoder(LexiconDecoderConfig(lexicon=lexicon))
