"""The errors that avrep raises on purpose. Each message is one line: the thing, the range, the mend.

A data set that is laid out otherwise is shown the tree as well.
"""


class AvrepError(Exception):
    """Base of every error raised on purpose; the command line prints these without a traceback."""


class ConfigError(AvrepError):
    """A person asked for something that cannot be: a wrong path, key, value or combination."""


class LayoutError(ConfigError):
    """A data set is not there, or not laid out as its archives are.

    Args:
        fault: one line that says what is wrong.
        tree: what was expected, over several lines.
    """

    def __init__(self, fault: str, tree: str) -> None:
        super().__init__(f"{fault}. Expected:\n{tree}")
        self.fault = fault
        self.tree = tree

    def __reduce__(self) -> tuple[type["LayoutError"], tuple[str, str]]:
        return LayoutError, (self.fault, self.tree)


class ShardError(AvrepError):
    """Bytes could not be fetched: the storage's fault, not the media's."""


class MediaError(AvrepError):
    """Bytes were fetched but are not usable media.

    Args:
        stage: where it went wrong: "open", "video", "audio", "limits" or "decode".
        reason: one line that says what is wrong with the item.
    """

    def __init__(self, stage: str, reason: str) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason

    def __reduce__(self) -> tuple[type["MediaError"], tuple[str, str]]:
        return MediaError, (self.stage, self.reason)


class StepNotFinite(AvrepError):
    """A step's loss or gradient was not finite: taken again, it would not be either."""


class FailureBudgetExceeded(AvrepError):
    """More items failed than the run allows, so the corpus or the storage itself is at fault."""
