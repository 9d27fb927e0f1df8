"""How long one pass over an item has taken so far, by stage."""

from dataclasses import dataclass

from avrep.types import StageTimes


@dataclass(slots=True)
class StageClock:
    """Sums of wall-clock seconds, added to where the work is done.

    Bytes are read from storage in the midst of reading packets, so `container_s` includes
    `storage_s`; `times` parts them.
    """

    storage_s: float = 0.0
    """Inside the reads of a source that is not in memory."""
    container_s: float = 0.0
    """Opening, seeking and reading packets, with the reads of the source."""
    decode_s: float = 0.0
    convert_s: float = 0.0

    def times(self) -> StageTimes:
        return StageTimes(
            storage_s=self.storage_s,
            demux_s=max(0.0, self.container_s - self.storage_s),
            decode_s=self.decode_s,
            convert_s=self.convert_s,
        )
