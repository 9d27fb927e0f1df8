"""VoxCeleb1 as speaker verification takes it: speakers to train on, and trials of other speakers.

    <root>/dev/wav/id10001/1zcIwhmdeo4/00001.wav
    <root>/test/wav/id10270/5r0dWxy17C8/00001.wav
    <root>/voxceleb1_test_v2.txt    1 id10270/5r0dWxy17C8/00001.wav id10270/x6uYqmx31kE/00001.wav

or all speakers in one <root>/wav; those of the trials then are the test's. The list may be the
data set's own veri_test.txt. A line's number says whether both are of one speaker.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.action.lists import read_lines, refuse
from avrep.evaluation.sound.layout import Layout
from avrep.evaluation.sound.recordings import Recording
from avrep.evaluation.sound.sound_task import Example

_LAYOUT = Layout(
    name="VoxCeleb1",
    source="robots.ox.ac.uk/~vgg/data/voxceleb, with its list of trials",
    tree="""\
voxceleb1_test_v2.txt                     or veri_test.txt: lines of `1|0 WAV WAV`
dev/wav/id10001/1zcIwhmdeo4/00001.wav     the dev archive's
test/wav/id10270/5r0dWxy17C8/00001.wav    the test archive's; or both in wav/""",
)
_LISTS = ("voxceleb1_test_v2.txt", "veri_test.txt")
_OFFICIAL = {"training speakers": 1211, "training utterances": 148_642, "trials": 37_720}
_CLEANED_TRIALS = 37_611
"""Of the later list, without the lines that were found wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Two recordings, by their keys."""

    first: str
    second: str
    is_target: bool
    """Whether they are of one speaker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationExample(Example):
    """A recording of a speaker, to train on or to be compared."""

    label: int = -1
    """Number of the speaker among those that are trained on."""
    trials: tuple[tuple[int, Trial], ...] = ()
    """Those that it is the first of, each with its number among all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationCorpus:
    """What there is to train on and what is asked."""

    train: tuple[Recording, ...] = field(repr=False)
    test: tuple[Recording, ...] = field(repr=False)
    """Those of the trials, each once, in the order of their first trial."""
    trials: tuple[Trial, ...] = field(repr=False)
    """In the order of the list."""
    notes: tuple[str, ...] = ()


def read_voxceleb1_trials(root: Path, *, own_data: bool = False) -> VerificationCorpus:
    """Read the folder and the trial list, and refuse what would spoil a measurement.

    Args:
        root: see above.
        own_data: whether it is another data set in this layout: then counts may differ.

    Raises:
        ConfigError: nothing like the tree above; other counts than VoxCeleb1's; a malformed line;
            recordings of trials that are missing; a line that says other than the speakers' names;
            trials of one kind only; a speaker both of the training part and of the trials.
    """
    parts = root / "dev/wav", root / "test/wav"
    if not all(part.is_dir() for part in parts):
        parts = root / "wav", root / "wav"
    list_path = next((root / name for name in _LISTS if (root / name).is_file()), None)
    if not parts[0].is_dir() or list_path is None:
        raise _LAYOUT.error(root, "there are no recordings, or no list of trials")
    trials = _read_trials(list_path)
    names = list(dict.fromkeys(name for _, *pair in trials for name in pair))
    missing = [name for name in names if not (parts[1] / name).is_file()]
    refuse(
        missing,
        f"of {len(names)} recordings of {list_path.name} are missing",
        "extract all archives",
    )
    test_speakers = {name.split("/")[0] for name in names}
    train = tuple(
        recording
        for recording in _recordings(parts[0])
        if parts[0] != parts[1] or recording.speaker not in test_speakers
    )
    if not train:
        raise _LAYOUT.error(root, "there is nobody to train on who is in no trial")
    leaked = sorted(test_speakers & {recording.speaker for recording in train})
    refuse(leaked, "speakers are both in dev and in trials", "keep each speaker in one part")
    counts = {
        "training speakers": len({recording.speaker for recording in train}),
        "training utterances": len(train),
        "trials": len(trials),
    }
    official = _OFFICIAL | ({"trials": len(trials)} if len(trials) == _CLEANED_TRIALS else {})
    return VerificationCorpus(
        train=train,
        test=tuple(_recording(parts[1] / name) for name in names),
        trials=tuple(
            Trial(first=_key(first), second=_key(second), is_target=is_target)
            for is_target, first, second in trials
        ),
        notes=_LAYOUT.check_counts(root, counts, official, own_data=own_data),
    )


def compared(
    recordings: Sequence[Recording], trials: Sequence[Trial]
) -> tuple[VerificationExample, ...]:
    """The recordings of some trials as examples, in their own order."""
    opened: dict[str, list[tuple[int, Trial]]] = {}
    for number, trial in enumerate(trials):
        opened.setdefault(trial.first, []).append((number, trial))
    return tuple(
        VerificationExample(recording=recording, trials=tuple(opened.get(recording.key, ())))
        for recording in recordings
    )


def _read_trials(path: Path) -> list[tuple[bool, str, str]]:
    trials = []
    for where, line in read_lines(path):
        fields = line.split()
        if len(fields) != 3 or fields[0] not in ("0", "1"):
            raise ConfigError(f"{where}: want '<1 or 0> <wav> <wav>', got {line!r}")
        first, second = fields[1:]
        if any(len(name.split("/")) != 3 or ".." in name for name in (first, second)):
            raise ConfigError(f"{where}: want <speaker>/<video>/<number>.wav, got {line!r}")
        is_target = fields[0] == "1"
        if is_target != (first.split("/")[0] == second.split("/")[0]):
            raise ConfigError(
                f"{where}: says {fields[0]}, but the speakers say otherwise: {line!r}"
            )
        trials.append((is_target, first, second))
    if len({is_target for is_target, *_ in trials}) < 2:
        raise ConfigError(f"{path.name} needs trials of one speaker and trials of two")
    return trials


def _recordings(folder: Path) -> Iterator[Recording]:
    for path in sorted(folder.glob("*/*/*.wav")):
        yield _recording(path)


def _recording(path: Path) -> Recording:
    speaker, video, name = path.parts[-3:]
    return Recording(key=_key(f"{speaker}/{video}/{name}"), path=path, speaker=speaker)


def _key(name: str) -> str:
    """As the public toolkit calls it: `id10270-5r0dWxy17C8-00001`."""
    return name.removesuffix(".wav").replace("/", "-")
