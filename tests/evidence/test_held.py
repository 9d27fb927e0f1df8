"""Clips cut from held videos are those that the plain stream decodes."""

import numpy as np

from avrep.media.catalog import Catalog
from avrep.pipeline.batches import batches
from avrep.pipeline.example import StreamSource
from avrep.pipeline.plan import Plan
from avrep.sampling.clips import UniformConfig
from avrep.sampling.spec import ViewSpec
from avrep.sampling.speeds import SpeedsConfig
from avrep.types import Geometry
from evidence.held import held_stream


def test_held_videos_give_the_plain_stream_s_batches(synth_catalog: Catalog) -> None:
    rows = synth_catalog.rows_with(video=True, audio=False)[:8]
    for sampler in (UniformConfig(num_frames=4, stride=3), SpeedsConfig(num_frames=4, speeds=(8,))):
        source = StreamSource(
            catalog=synth_catalog,
            plan=Plan(seed=3, rows=rows, global_batch=8, draws_per_visit=2),
            specs=(ViewSpec(sampler=sampler, geometry=Geometry(short_side_px=32)),),
        )
        with held_stream(source, range(1, 3)) as stream:
            held = list(stream)
        for ours, plain in zip(held, batches(source, range(1, 3)), strict=True):
            assert (ours.step, ours.addresses) == (plain.step, plain.addresses)
            assert (ours.keys, ours.labels) == (plain.keys, plain.labels)
            for mine, decoded in zip(ours.views, plain.views, strict=True):
                assert mine.video is not None
                assert decoded.video is not None
                np.testing.assert_array_equal(mine.video, decoded.video)
                np.testing.assert_array_equal(mine.pts_s, decoded.pts_s)
                np.testing.assert_array_equal(mine.size_px, decoded.size_px)
                assert mine.first_frame_s is not None
                assert decoded.first_frame_s is not None
                np.testing.assert_array_equal(mine.first_frame_s, decoded.first_frame_s)
