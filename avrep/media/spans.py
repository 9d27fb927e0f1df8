"""Neighbours in a shard, grouped so that one request reads them all."""

from collections.abc import Sequence
from dataclasses import dataclass

from avrep.types import MediaItem


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A byte range of one shard, and the items that lie in it."""

    shard: str
    offset_bytes: int
    length_bytes: int
    places: tuple[int, ...]
    """Which of the items given, by their place in that sequence; in the order of their bytes."""


def spans(items: Sequence[MediaItem], max_gap_bytes: int, max_span_bytes: int) -> tuple[Span, ...]:
    """Group items so that every span is worth one read.

    Args:
        items: in any order, of any shards; ranges may touch, overlap or be the same.
        max_gap_bytes: bytes of no use between two items of a span: headers and padding of a tar,
            members that are not asked for.
        max_span_bytes: length of a span; only an item that alone is longer makes a longer one.

    Returns:
        Spans in the order of shard and offset; each item is in exactly one.
    """
    order = sorted(range(len(items)), key=lambda i: (items[i].shard, items[i].offset_bytes))
    found: list[Span] = []
    members: list[int] = []
    start = end = 0
    for place in order:
        item = items[place]
        item_end = item.offset_bytes + item.length_bytes
        if members and not (
            item.shard == items[members[0]].shard
            and item.offset_bytes - end <= max_gap_bytes
            and max(end, item_end) - start <= max_span_bytes
        ):
            found.append(_span(items, members, start, end))
            members = []
        if not members:
            start, end = item.offset_bytes, item_end
        members.append(place)
        end = max(end, item_end)
    if members:
        found.append(_span(items, members, start, end))
    return tuple(found)


def _span(items: Sequence[MediaItem], members: Sequence[int], start: int, end: int) -> Span:
    return Span(
        shard=items[members[0]].shard,
        offset_bytes=start,
        length_bytes=end - start,
        places=tuple(members),
    )
