"""A Kaldi data folder of who spoke when, as SUPERB's diarization takes Libri2Mix.

    wav.scp      recording path.wav           a relative path is below the folder itself
    reco2dur     recording 13.42              seconds
    segments     utterance recording 0.50 2.75
    utt2spk      utterance speaker
    spk2utt      speaker utterance ...        may be missing
    rttm         SPEAKER recording 1 0.50 2.25 <NA> <NA> speaker <NA> <NA>

One of segments (with utt2spk) and rttm is enough; with both, segments are what is learned and rttm is
what is scored, as published.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.action.lists import read_lines, refuse
from avrep.evaluation.diarization import Turn
from avrep.evaluation.rttm import read_rttm

FILES = "wav.scp, reco2dur, segments, utt2spk, spk2utt and rttm"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenRecording:
    """A recording and who speaks in it when."""

    key: str
    path: Path
    duration_s: float
    turns: tuple[Turn, ...] = field(repr=False)
    """To learn from, in order."""
    reference: tuple[Turn, ...] = field(repr=False)
    """To be scored against, in order."""

    @property
    def speakers(self) -> tuple[str, ...]:
        """Those of `turns`, in the order of their names."""
        return tuple(sorted({turn.speaker for turn in self.turns}))


def read_kaldi_folder(folder: Path) -> tuple[SpokenRecording, ...]:
    """Read a folder, in the order of its wav.scp, and refuse what does not fit together.

    Raises:
        ConfigError: a missing or malformed file; recordings without sound, length or turns; a path
            that is a command; a segment of an unknown recording or without a speaker; spk2utt that
            says other than utt2spk.
    """
    if not (folder / "wav.scp").is_file():
        raise ConfigError(f"{folder} is no Kaldi folder. Mend: give one with {FILES}")
    paths = _table(folder / "wav.scp")
    commands = [recording for recording, path in paths.items() if path.endswith("|")]
    refuse(commands, "recordings of wav.scp are commands", "write the sounds to files first")
    found = {recording: folder / path for recording, path in paths.items()}
    missing = [str(path) for path in found.values() if not path.is_file()]
    refuse(missing, f"of {len(found)} recordings of {folder}/wav.scp are missing", f"want {FILES}")
    durations_s = {
        recording: _seconds(folder / "reco2dur", recording, text)
        for recording, text in _table(folder / "reco2dur").items()
    }
    refuse(
        [recording for recording in found if recording not in durations_s],
        f"recordings are not in {folder}/reco2dur",
        "write each one's length in seconds",
    )
    turns, reference = _turns(folder, found)
    refuse(
        [recording for recording in found if not reference.get(recording)],
        f"recordings of {folder} have no turn",
        "give segments or rttm of each",
    )
    return tuple(
        SpokenRecording(
            key=recording,
            path=path,
            duration_s=durations_s[recording],
            turns=tuple(sorted(turns.get(recording, ()))),
            reference=tuple(sorted(reference[recording])),
        )
        for recording, path in found.items()
    )


def _turns(
    folder: Path, recordings: Mapping[str, Path]
) -> tuple[Mapping[str, tuple[Turn, ...]], Mapping[str, tuple[Turn, ...]]]:
    """What is learned and what is scored, of each recording."""
    has_segments, has_rttm = ((folder / name).is_file() for name in ("segments", "rttm"))
    if not has_segments and not has_rttm:
        raise ConfigError(f"{folder} has neither segments nor rttm. Want {FILES}")
    reference = read_rttm(folder / "rttm") if has_rttm else {}
    turns = _segments(folder, recordings) if has_segments else reference
    return turns, reference or turns


def _segments(folder: Path, recordings: Mapping[str, Path]) -> dict[str, tuple[Turn, ...]]:
    speaker_of = _table(folder / "utt2spk")
    if (folder / "spk2utt").is_file():
        listed = _table(folder / "spk2utt")
        told = {utt: speaker for speaker, utts in listed.items() for utt in utts.split()}
        differ = [utt for utt in told.keys() | speaker_of if told.get(utt) != speaker_of.get(utt)]
        refuse(sorted(differ), f"utterances of {folder}: spk2utt and utt2spk differ", "make anew")
    turns: dict[str, list[Turn]] = {}
    for where, line in read_lines(folder / "segments"):
        try:
            utterance, recording, start, end = line.split()
            start_s, end_s = float(start), float(end)
            if recording not in recordings or utterance not in speaker_of:
                raise ConfigError(f"{where}: {line!r} is not in wav.scp and utt2spk")
            turn = Turn(start_s=start_s, end_s=end_s, speaker=speaker_of[utterance])
        except ValueError:
            raise ConfigError(
                f"{where}: want '<utterance> <recording> <start s> <end s>', got {line!r}"
            ) from None
        turns.setdefault(recording, []).append(turn)
    return {recording: tuple(found) for recording, found in turns.items()}


def _table(path: Path) -> dict[str, str]:
    """A file of `name value` lines, in its order; no name twice."""
    table: dict[str, str] = {}
    for where, line in read_lines(path):
        name, *rest = line.split(maxsplit=1)
        if not rest:
            raise ConfigError(f"{where}: want '<name> <value>', got {line!r}")
        if name in table:
            raise ConfigError(f"{where}: {name!r} stands there twice")
        table[name] = rest[0]
    return table


def _seconds(path: Path, recording: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{path.name}: {recording!r} lasts {text!r}: want seconds") from None
