"""When it is the storage that is at fault, and not what was read from it."""

from avrep.errors import ShardError


def refuse_broken_storage(num_unread: int, num_rows: int, error: Exception, command: str) -> None:
    """End a task when most of its rows cannot be read: then the storage is at fault, not they.

    Raises:
        ShardError: says what to do when it is back.
    """
    if num_unread > max(1, num_rows // 2):
        raise ShardError(
            f"{num_unread} of {num_rows} rows of a shard cannot be read, the last one because: "
            f"{error}; when the storage is back, start the same {command} again"
        )
