"""RTTM, NIST's text format of who spoke when: one turn a line.

    SPEAKER recording 1 0.500 1.250 <NA> <NA> speaker <NA> <NA>

The numbers are the channel, the start and the length in seconds.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from avrep.errors import ConfigError
from avrep.evaluation.action.lists import read_lines
from avrep.evaluation.diarization import Turn
from avrep.media.put_in_place import write_in_place


def read_rttm(path: Path) -> dict[str, tuple[Turn, ...]]:
    """The turns of each recording, in the order of the file. Lines of other kinds are passed over.

    Raises:
        ConfigError: no such file, or a line that is none of RTTM's.
    """
    turns: dict[str, list[Turn]] = {}
    for where, line in read_lines(path):
        fields = line.split()
        if fields[0] != "SPEAKER":
            continue
        try:
            recording, start_s, length_s, speaker = fields[1], *map(float, fields[3:5]), fields[7]
            turn = Turn(start_s=start_s, end_s=start_s + length_s, speaker=speaker)
        except (IndexError, ValueError):
            raise ConfigError(
                f"{where}: want 'SPEAKER <recording> 1 <start s> <length s> <NA> <NA> <speaker>', "
                f"got {line!r}"
            ) from None
        turns.setdefault(recording, []).append(turn)
    return {recording: tuple(found) for recording, found in turns.items()}


def write_rttm(path: Path, turns: Mapping[str, Sequence[Turn]]) -> None:
    """Write the turns of each recording, times to the millisecond."""
    lines = [
        f"SPEAKER {recording} 1 {turn.start_s:.3f} {turn.end_s - turn.start_s:.3f} "
        f"<NA> <NA> {turn.speaker} <NA> <NA>\n"
        for recording, found in turns.items()
        for turn in found
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_in_place("".join(lines), path)
