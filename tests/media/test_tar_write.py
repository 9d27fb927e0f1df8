"""The tar that is written is a tar: another reader finds each member where it was said to be.

WebDataset's rule for names (the part up to the first dot of the last path component is the sample)
is restated here, as its readers have it.
"""

import io
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avrep.media.tar_write import TarWriter, sample_name

WEBDATASET_NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)", re.DOTALL)
WEBDATASET_NOTES = re.compile(r"__[^/]*__($|/)")


@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8"), min_size=1, max_size=150), st.binary()),
        max_size=6,
    )
)
def test_tarfile_reads_back_names_and_contents_at_the_offsets(
    samples: list[tuple[str, bytes]],
) -> None:
    file = io.BytesIO()
    tar = TarWriter(file)
    members = []
    for key, content in samples:
        name = f"{tar.sample_name(key)}.mp4"
        members.append((tar.add(name, [content[:3], content[3:]], len(content)), content))
    tar.finish()
    written = file.getvalue()
    assert len(written) % tarfile.RECORDSIZE == 0
    with tarfile.open(fileobj=io.BytesIO(written), mode="r:") as reader:
        read = reader.getmembers()
        assert [info.name for info in read] == [member.name for member, _ in members]
        for info, (member, content) in zip(read, members, strict=True):
            assert info.isreg()
            assert (info.offset_data, info.size) == (member.offset_bytes, member.length_bytes)
            start = member.offset_bytes
            assert written[start : start + member.length_bytes] == content
            assert member.crc32 == zlib.crc32(content)
            assert (info.mtime, info.uid, info.gid, info.uname) == (0, 0, 0, "")


@given(st.text(min_size=1, max_size=60))
def test_any_key_makes_a_name_that_webdataset_takes_whole(key: str) -> None:
    name = sample_name(key)
    match = WEBDATASET_NAME.fullmatch(f"{name}.mp4")
    assert match is not None
    assert match.groups() == (name, "mp4")
    assert not WEBDATASET_NOTES.match(name)
    parts = PurePosixPath(name).parts
    assert not name.startswith("/")
    assert all(part not in ("", ".", "..") and not part.startswith(".") for part in parts)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("jump/a.mp4", "jump/a"),
        ("v1.2/jump/a.b.c.webm", "v1.2/jump/a_b_c"),
        ("/etc/../a.mp4", "etc/a"),
        ("../../a.mp4", "a"),
        ("x/.mp4", "x/mp4"),
        ("__url__/a.mp4", "url__/a"),
        ("a\nb.mp4", "a_b"),
        ("tar/x.tar/y.flac", "tar/x.tar/y"),
    ],
)
def test_names_worked_by_hand(key: str, name: str) -> None:
    assert sample_name(key) == name


def test_keys_that_differ_only_in_their_ending_stay_two_samples() -> None:
    tar = TarWriter(io.BytesIO())
    keys = ["a.mp4", "a.mkv", "a.b", "a-2.mp4", "a_b.mp4", "a.b.mp4"]
    names = [tar.sample_name(key) for key in keys]
    assert names == ["a", "a-2", "a-3", "a-2-2", "a_b", "a_b-2"]


def test_content_that_breaks_off_leaves_the_tar_as_it_was() -> None:
    def breaks_off() -> Iterator[bytes]:
        yield b"x" * 2000
        raise OSError("the store is gone")

    file = io.BytesIO()
    tar = TarWriter(file)
    tar.add("a.mp4", [b"first"], 5)
    before = file.getvalue()
    with pytest.raises(OSError, match="the store is gone"):
        tar.add("b.mp4", breaks_off(), 4000)
    with pytest.raises(ValueError, match="2 bytes of content where 3 were said"):
        tar.add("c.mp4", [b"ab"], 3)
    assert file.getvalue() == before
    tar.add("d.mp4", [b"second"], 6)
    tar.finish()
    with tarfile.open(fileobj=io.BytesIO(file.getvalue())) as reader:
        assert reader.getnames() == ["a.mp4", "d.mp4"]
