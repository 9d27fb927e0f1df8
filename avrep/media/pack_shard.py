"""One shard of a pack: its tar, its part of the catalogue, and the items that it had to leave out.

A shard is done when its part's `.json` stands; until then nothing of it counts, and making it again
gives the same bytes.
"""

import json
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from avrep.errors import MediaError, ShardError
from avrep.media import shards
from avrep.media.catalog import Catalog, write_catalog
from avrep.media.index import Reject
from avrep.media.limits import DecodeLimits
from avrep.media.own_process import OwnProcess
from avrep.media.pack_plan import PackConfig
from avrep.media.put_in_place import put_in_place
from avrep.media.tar_write import Member, TarWriter
from avrep.media.train_coding import TrainCoding
from avrep.media.transcode import Transcoded, transcode_item
from avrep.types import MediaItem, RowNumbers

PARTS = "parts"
"""Folder of what is known of finished shards, while not all are finished."""
UNFINISHED = ".unfinished-"
"""How the folders begin in which shards are made."""
ROOT = "."
"""The catalogue's root: the folder that it lies in, wherever that is moved to."""

_PIECE_BYTES = 4 * 2**20
_DEADLINE_LENGTHS = 10
_FACTS = "__avrep__"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFacts:
    """What came of a shard."""

    num_items: int
    num_bytes: int
    """Of the media, without the tar around it."""
    num_bad_packets: int
    num_lost_frames: int
    rejects: tuple[Reject, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What goes into the tar for an item."""

    item: MediaItem
    suffix: str
    pieces: Iterator[bytes]
    num_bad_packets: int = 0
    num_lost_frames: int = 0


def shard_name(shard: int) -> str:
    return f"shard-{shard:06d}.tar"


def pack_shard(
    catalog: Catalog, rows: RowNumbers, shard: int, out: Path, config: PackConfig
) -> ShardFacts:
    """Make a shard and its part of the catalogue below `out`.

    Raises:
        ShardError: most items cannot be read: the storage is at fault, and a later try may do.
        OSError: the shard cannot be written.
        ConfigError: this build of PyAV lacks an encoder.
    """
    work = Path(tempfile.mkdtemp(prefix=f"{UNFINISHED}{shard:06d}-", dir=out))
    try:
        items, facts = _write_tar(catalog, rows, shard, work, config)
        write_catalog(work / "part.parquet", items, ROOT)
        text = json.dumps(asdict(facts))
        (work / "part.json").write_text(text, encoding="utf-8")
        stem = out / PARTS / f"{shard:06d}"
        put_in_place(work / shard_name(shard), out / shard_name(shard))
        put_in_place(work / "part.parquet", stem.with_suffix(".parquet"))
        put_in_place(work / "part.json", stem.with_suffix(".json"))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return facts


def read_facts(out: Path, shard: int) -> ShardFacts | None:
    """What came of a shard, or None while it is not done."""
    path = out / PARTS / f"{shard:06d}.json"
    if not path.is_file():
        return None
    fields = json.loads(path.read_text(encoding="utf-8"))
    return ShardFacts(**(fields | {"rejects": tuple(Reject(**r) for r in fields["rejects"])}))


def _write_tar(
    catalog: Catalog, rows: RowNumbers, shard: int, work: Path, config: PackConfig
) -> tuple[list[MediaItem], ShardFacts]:
    items: list[MediaItem] = []
    rejects: list[Reject] = []
    num_bad_packets = num_lost_frames = 0
    with ExitStack() as stack:
        file = stack.enter_context((work / shard_name(shard)).open("w+b"))
        process = stack.enter_context(OwnProcess(transcode_item, DecodeLimits().max_memory_bytes))
        tar = TarWriter(file)
        for item in catalog.items(rows):
            try:
                content = _content(item, catalog.root, work, config, process)
                items.append(_add(tar, content, shard))
            except (MediaError, ShardError) as error:
                rejects.append(_reject(item, error))
                _refuse_broken_storage(rejects, len(rows))
            else:
                num_bad_packets += content.num_bad_packets
                num_lost_frames += content.num_lost_frames
        tar.finish()
    return items, ShardFacts(
        num_items=len(items),
        num_bytes=sum(item.length_bytes for item in items),
        num_bad_packets=num_bad_packets,
        num_lost_frames=num_lost_frames,
        rejects=tuple(rejects),
    )


def _content(
    item: MediaItem,
    root: str,
    work: Path,
    config: PackConfig,
    process: OwnProcess[[MediaItem, str, Path, TrainCoding], Transcoded],
) -> _Content:
    if config.mode == "copy":
        suffix = PurePosixPath(item.key).suffix.lower() or ".media"
        return _Content(item=item, suffix=suffix, pieces=_source_pieces(item, root))
    path = work / "item"
    deadline_s = config.deadline_s + _DEADLINE_LENGTHS * item.duration_s
    done = process.call(deadline_s, item, root, path, config)
    return _Content(
        item=done.item,
        suffix=done.suffix,
        pieces=_file_pieces(path),
        num_bad_packets=done.num_bad_packets,
        num_lost_frames=done.num_lost_frames,
    )


def _source_pieces(item: MediaItem, root: str) -> Iterator[bytes]:
    if item.length_bytes <= shards.WHOLE_READ_BYTES:
        yield shards.read(item, root)
        return
    crc32 = 0
    with shards.open_window(item, root) as window:
        while piece := window.read(_PIECE_BYTES):
            crc32 = zlib.crc32(piece, crc32)
            yield piece
    if item.crc32 not in (None, crc32):
        raise ShardError(f"{item.shard} changed since it was indexed; index it again")


def _file_pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _add(tar: TarWriter, content: _Content, shard: int) -> MediaItem:
    item = content.item
    name = tar.sample_name(item.key)
    sidecar = json.dumps(_sidecar(content), ensure_ascii=False).encode()
    member = tar.add(f"{name}{content.suffix}", content.pieces, item.length_bytes)
    tar.add(f"{name}.json", [sidecar], len(sidecar))
    return _row(item, member, shard)


def _row(item: MediaItem, member: Member, shard: int) -> MediaItem:
    return replace(
        item,
        shard=shard_name(shard),
        offset_bytes=member.offset_bytes,
        length_bytes=member.length_bytes,
        crc32=member.crc32,
    )


def _sidecar(content: _Content) -> dict[str, Any]:
    """Labels at the top, where readers of WebDataset (and `avrep index`) look; the rest below."""
    item = content.item
    streams = {
        name: {k: v for k, v in asdict(stream).items() if k != "keyframes_s"}
        for name, stream in (("video", item.video), ("audio", item.audio))
        if stream is not None
    }
    facts = {
        "key": item.key,
        "duration_s": item.duration_s,
        "num_bad_packets": content.num_bad_packets,
        "num_lost_frames": content.num_lost_frames,
        **streams,
    }
    return {**item.labels, _FACTS: facts}


def _reject(item: MediaItem, error: MediaError | ShardError) -> Reject:
    return Reject(
        key=item.key,
        shard=item.shard,
        offset_bytes=item.offset_bytes,
        length_bytes=item.length_bytes,
        stage=error.stage if isinstance(error, MediaError) else "read",
        reason=error.reason if isinstance(error, MediaError) else str(error),
    )


def _refuse_broken_storage(rejects: list[Reject], num_items: int) -> None:
    unread = [reject for reject in rejects if reject.stage == "read"]
    if len(unread) > max(1, num_items // 2):
        raise ShardError(
            f"{len(unread)} of {num_items} items of a shard cannot be read, the last one because: "
            f"{unread[-1].reason}; when the storage is back, start the same pack again"
        )
