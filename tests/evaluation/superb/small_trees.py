"""Small data sets in the official layouts of LibriSpeech and Audio SNIPS."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from avrep.media import synth_write

Sound = npt.NDArray[np.int16]

LEXICON = "HELLO\tHH AH0 L OW1\nWORLD\tW ER1 L D\nHELLO\tHH EH0 L OW1\nA\tAH0\n"
OTHERS = "ABACUSES\tAE1 B AH0 K AH0 S IH0 Z\nWORLD\tSPN\n"


def write_flac(path: Path, sound: Sound, rate_hz: int = 16_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
        frame.sample_rate = rate_hz
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)


def write_wav(path: Path, sound: Sound, rate_hz: int = 16_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    synth_write.write_wav(path, (sound / 2**15).astype(np.float32), rate_hz=rate_hz)


def hum(num_samples: int, seed: int = 0) -> Sound:
    return np.random.default_rng(seed).integers(-3000, 3000, num_samples).astype(np.int16)


def tones(tokens: Sequence[int]) -> Sound:
    """90 ms of a tone of its own for each token, and 30 ms of near silence behind it."""
    times_s = np.arange(1440) / 16_000
    quiet = np.zeros(480)
    parts = [
        part
        for token in tokens
        for part in (3000 * np.sin(2 * np.pi * (250 + 150 * token) * times_s), quiet)
    ]
    sound = np.concatenate([quiet, *parts])
    return (sound + hum(len(sound)) / 100).astype(np.int16)


def write_librispeech(
    root: Path,
    texts: Mapping[str, Mapping[str, str]],
    sound_of: Callable[[str], Sound] | None = None,
) -> Path:
    """Utterances below `root`/LibriSpeech.

    Args:
        root: of the tree.
        texts: part -> key such as "103-1240-0000" -> what is said.
        sound_of: a text's sound; None: noise, of 3200 samples and in each later utterance 160 more.
    """
    for part, utterances in texts.items():
        for number, (key, text) in enumerate(utterances.items()):
            speaker, chapter, _ = key.split("-")
            folder = root / "LibriSpeech" / part / speaker / chapter
            sound = sound_of(text) if sound_of else hum(3200 + 160 * number, number)
            write_flac(folder / f"{key}.flac", sound)
            with (folder / f"{speaker}-{chapter}.trans.txt").open("a") as file:
                file.write(f"{key} {text}\n")
    return root


def write_lexicons(root: Path) -> Path:
    (root / "librispeech-lexicon-200k-g2p.txt").write_text(LEXICON)
    (root / "librispeech-lexicon-allothers-g2p.txt").write_text(OTHERS)
    return root


def write_snips(
    root: Path, lines: Mapping[str, str], sound_of: Callable[[str], Sound] | None = None
) -> Path:
    """Sentences and their list below `root`/SNIPS.

    Args:
        root: of the tree.
        lines: key such as "Ivy-snips-train-0" -> words, a tab, slots and the intent.
        sound_of: the words' sound; None: noise, as in `write_librispeech`.
    """
    folder = root / "SNIPS"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "slots.txt").write_text("O\nartist\nalbum")
    with (folder / "all.iob.snips.txt").open("w") as file:
        for number, (key, line) in enumerate(lines.items()):
            words, _, slots = line.partition("\t")
            file.write(f"{key} BOS {words} EOS\tO {slots}\n")
            sound = sound_of(words) if sound_of else hum(3200 + 160 * number, number)
            write_wav(folder / key.split("-")[2] / f"{key}.wav", sound)
    return root
