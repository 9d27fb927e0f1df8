"""Sound in the stream: crops that were drawn, on the item's clock, and items that turn out silent."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from avrep import rng
from avrep.media.catalog import Catalog, write_catalog
from avrep.media.decode import decode
from avrep.media.shards import read
from avrep.pipeline.batches import batches
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan, is_substitute
from avrep.sampling.sound import SoundConfig
from avrep.sampling.spec import ViewSpec, draw_views
from avrep.sampling.sync import SyncConfig
from avrep.types import Geometry

_CROP = ViewSpec(sampler=SoundConfig(duration_s=0.5, min_s=0.2), geometry=Geometry(rate_hz=8000))
_SHIFTED = ViewSpec(
    sampler=SyncConfig(num_frames=5, fps=10.0, max_offset_s=0.2, num_offsets=5, jitter_s=0.0),
    geometry=Geometry(rate_hz=8000, short_side_px=32),
)


def source_of(catalog: Catalog, *specs: ViewSpec) -> StreamSource:
    rows = catalog.rows_with(video=True, audio=True)
    return StreamSource(catalog=catalog, plan=Plan(seed=3, rows=rows, global_batch=4), specs=specs)


def test_sound_is_what_the_samplers_drew(synth_catalog: Catalog) -> None:
    source = source_of(synth_catalog, _CROP, _SHIFTED)
    batch = next(batches(source, range(1)))
    for row, address in enumerate(batch.addresses):
        item = synth_catalog[address.item]
        content = read(item, synth_catalog.root)
        for lane, (spec, view) in enumerate(zip(source.specs, batch.views, strict=True)):
            draws = rng.at(3, rng.Stage.SAMPLE, address, lane)
            (times,) = draw_views(spec, item, draws)
            clip = decode(content, times, spec.geometry)
            assert times.audio_s is not None
            assert clip.audio is not None
            assert view.audio is not None
            assert view.num_samples is not None
            assert view.audio_start_s is not None
            assert view.num_samples[row] == len(clip.audio) == round(0.5 * 8000)
            np.testing.assert_array_equal(view.audio[row], clip.audio)
            assert abs(view.audio_start_s[row] - times.audio_s[0]) <= 0.5 / 8000 + 1e-9
    crop, shifted = batch.views
    assert crop.video is None
    assert shifted.video is not None
    assert shifted.video.shape[:2] == (4, 5)


def test_an_item_that_has_lost_its_sound_is_reported_and_replaced(
    synth_catalog: Catalog, tmp_path: Path
) -> None:
    source = source_of(synth_catalog, _CROP)
    lost = source.plan.rows[2]
    items = [synth_catalog[row] for row in range(len(synth_catalog))]
    silence(Path(synth_catalog.root) / items[lost].shard, tmp_path / "silent.mp4")
    items[lost] = replace(
        items[lost],
        shard=str(tmp_path / "silent.mp4"),
        length_bytes=(tmp_path / "silent.mp4").stat().st_size,
        crc32=None,
    )
    write_catalog(tmp_path / "c.parquet", items, synth_catalog.root)
    changed = source_of(Catalog.open(tmp_path / "c.parquet"), _CROP)
    assert isinstance(changed.plan, Plan)
    steps = range(changed.plan.steps_per_epoch)
    failures = []
    for before, after in zip(batches(source, steps), batches(changed, steps), strict=True):
        failures += after.failures
        for row, (planned, given) in enumerate(zip(before.addresses, after.addresses, strict=True)):
            assert is_substitute(given) == (planned.item == lost)
            if given == planned:
                assert before.views[0].audio is not None
                assert after.views[0].audio is not None
                num_samples = round(0.5 * 8000)
                np.testing.assert_array_equal(
                    before.views[0].audio[row, :num_samples],
                    after.views[0].audio[row, :num_samples],
                )
    assert [(failure.key, failure.stage) for failure in failures] == [(items[lost].key, "audio")]


def silence(source: Path, out: Path) -> None:
    """Copy the pictures alone."""
    with av.open(source) as read_from, av.open(out, "w") as write_to:
        pictures = read_from.streams.video[0]
        copied = write_to.add_stream_from_template(pictures)
        for packet in read_from.demux(pictures):
            if packet.dts is not None:
                packet.stream = copied
                write_to.mux(packet)
