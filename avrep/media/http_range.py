"""One ranged GET: what was asked for, whatever form the server gives it in.

fsspec's own ranged read gives back whatever came. This one looks at what the server says it sent: a
server that ignores ranges costs a longer answer instead of a failure, and only as much of it as is
needed; an object that ends too early is told from an answer that was cut short.
"""

import asyncio
import re
from typing import Any, cast

from fsspec.asyn import sync

from avrep.media.faults import LastingFault, PassingFault

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


def read_http_range(fs: Any, url: str, start: int, end: int, most_s: float) -> bytes:
    """Bytes [start, end) of a URL, fewer where the answer ends early.

    Args:
        fs: fsspec's HTTP file system.
        url: of the object.
        start: first byte.
        end: one past the last byte.
        most_s: seconds that the answer may take for the bytes asked for; as much again for as many
            that are sent but were not asked for.

    Raises:
        LastingFault: the object ends before `end`.
        PassingFault: the server sent another range.
        aiohttp.ClientError, TimeoutError: the request failed.
    """
    return cast(bytes, sync(fs.loop, _get, fs, url, start, end, most_s))


async def _get(fs: Any, url: str, start: int, end: int, most_s: float) -> bytes:
    session = await fs.set_session()
    headers = {
        **fs.kwargs.get("headers", {}),
        "Range": f"bytes={start}-{end - 1}",
        # Ranges are of the bytes as stored, not as packed for the way.
        "Accept-Encoding": "identity",
    }
    async with (
        asyncio.timeout(most_s) as deadline,
        session.get(fs.encode_url(url), **{**fs.kwargs, "headers": headers}) as response,
    ):
        if response.status == 416:
            raise LastingFault("it ends before these bytes; was it changed since it was indexed?")
        response.raise_for_status()
        first, size_bytes = _what_comes(response, start)
        if size_bytes is not None and size_bytes < end:
            raise LastingFault(
                f"it has {size_bytes} bytes, so it gave {max(0, size_bytes - start)} of the "
                f"{end - start} bytes; was it changed since it was indexed?"
            )
        if first > start:
            raise PassingFault(f"the server sent bytes from {first} instead of {start}")
        surplus = (start - first) / (end - start)
        deadline.reschedule(asyncio.get_running_loop().time() + most_s * (1 + surplus))
        return await _take(response.content, start - first, end - start)


def _what_comes(response: Any, start: int) -> tuple[int, int | None]:
    """Place of the answer's first byte in the object, and the object's size where it is told."""
    if response.status != 206:
        return 0, response.content_length
    found = _CONTENT_RANGE.match(response.headers.get("Content-Range", ""))
    if not found:
        return start, None
    return int(found[1]), None if found[3] == "*" else int(found[3])


async def _take(content: Any, num_before: int, num_bytes: int) -> bytes:
    """The wanted part of an answer; the rest of it is left unread."""
    taken = bytearray()
    async for chunk in content.iter_any():
        taken += chunk[num_before:] if num_before else chunk
        num_before = max(0, num_before - len(chunk))
        if len(taken) >= num_bytes:
            break
    return bytes(taken[:num_bytes])
