"""Queries are made of the very clips that they name, and a planted copy is found first."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch.nn import functional

import avrep
from avrep.assemble import build_objective
from avrep.augment.eval_crops import CropConfig, crop_views
from avrep.config import RunConfig, parse_config
from avrep.embedding.corpus import embed_corpus
from avrep.embedding.job import EmbedConfig
from avrep.embedding.query import Asker
from avrep.embedding.search import nearest_clips
from avrep.embedding.store import FeatureStore
from avrep.errors import ConfigError, MediaError
from avrep.media.catalog import Catalog, write_catalog
from avrep.media.decode import decode
from avrep.media.index import index_sources
from avrep.media.synth_write import write_video
from avrep.objectives.segment_avclip import SegmentAvclip
from avrep.pretrain import pretrain
from avrep.report.contact_sheet import FRAME_HEIGHT_PX
from avrep.report.nearest_sheet import draw_nearest
from avrep.sampling.windows import SpacingConfig
from avrep.trained import load_trained, read_run_config
from avrep.types import ClipTimes, Geometry

EVERY = EmbedConfig(spacing=SpacingConfig(every_s=0.2))


@pytest.fixture(scope="module")
def store(
    tiny_run: Path, synth_catalog: Catalog, tmp_path_factory: pytest.TempPathFactory
) -> FeatureStore:
    out = tmp_path_factory.mktemp("pictures") / "features"
    embed_corpus(tiny_run, synth_catalog.path, out, EVERY)
    return FeatureStore.open(out)


@pytest.fixture(scope="module")
def sync_run(synth_catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of segment AVCLIP: segments of 4 frames at 25 a second, pictures and sound."""
    tree = {
        "data": {"catalog": str(synth_catalog.path), "num_decode_actors": 0, "split": "train"},
        "video_encoder": {"kind": "video_conv", "arch": "r3d_18_fast", "base_width": 4},
        "audio_encoder": {"kind": "audio_conv", "base_width": 4, "num_bins": 16},
        "objective": {
            "kind": "segment_avclip",
            "sampler": {"num_frames": 8, "num_offsets": 1, "max_offset_s": 0.0, "jitter_s": 0.02},
            "segment_frames": 4,
            "hop_frames": 4,
            "short_side_px": 32,
            "crop_px": 32,
            "width": 8,
        },
        "train": {
            "batch_size": 4,
            "num_steps": 2,
            "optim": {"name": "adamw", "lr": 0.001},
            "device": "cpu",
            "num_threads": 1,
            "checkpoint_every_steps": 2,
        },
    }
    run = tmp_path_factory.mktemp("sync") / "run"
    pretrain(parse_config(tree, "test"), run)
    return run


def coded_again(source: Path, item_fps: float, out: Path) -> Path:
    """The same pictures, decoded and encoded once more with other groups of pictures."""
    times = ClipTimes(frames_s=np.asarray((np.arange(30) + 0.5) / item_fps, np.float64))
    clip = decode(source.read_bytes(), times, Geometry())
    assert clip.video is not None
    write_video(
        out,
        clip.video,
        np.zeros(24000, np.float32),
        frame_ticks=range(30),
        tick_s=1 / Fraction(item_fps).limit_denominator(1001),
        rate_hz=16000,
        gop_frames=30,
    )
    return out


def test_a_video_coded_again_is_found_first(
    store: FeatureStore, synth_catalog: Catalog, synth_folder: Path, tmp_path: Path
) -> None:
    asker, rows = Asker(store), store.read()
    pictured = [item for item in synth_catalog if item.video and "videos" in item.key]
    for item in pictured[::8]:
        assert item.video is not None
        copy = coded_again(synth_folder / item.key, item.video.fps, tmp_path / "copy.mp4")
        query = asker.like(copy, at_s=0.4)
        found = nearest_clips(store, query.vector, 5)
        assert found[0].key == item.key
        assert abs(found[0].start_s - 0.4) <= 0.2
        assert found[0].similarity > 0.98
        # As a look at all rows at once says it.
        unit = rows.vectors / np.linalg.norm(rows.vectors, axis=1, keepdims=True)
        similar = unit @ (query.vector / np.linalg.norm(query.vector))
        assert found[0].row == similar.argmax()
        np.testing.assert_allclose(
            [hit.similarity for hit in found], np.sort(similar)[::-1][:5], atol=1e-5
        )


def test_a_clip_of_the_corpus_is_its_own_nearest(store: FeatureStore, synth_folder: Path) -> None:
    rows = store.read()
    for row in (0, len(rows) // 2, len(rows) - 1):
        query = Asker(store).like(synth_folder / rows.keys[row], at_s=float(rows.start_s[row]))
        np.testing.assert_allclose(query.vector, rows.vectors[row], rtol=1e-4, atol=1e-6)
        best = nearest_clips(store, query.vector, 3)[0]
        assert best.similarity == pytest.approx(1.0, abs=1e-5)
    found = nearest_clips(store, rows.vectors[0], 6, one_per_item=True)
    assert len({hit.key for hit in found}) == 6


def test_an_image_is_a_clip_that_does_not_move(
    store: FeatureStore, tiny_run: Path, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    query = Asker(store).image(tmp_path / "image.png")
    still = torch.from_numpy(np.stack([np.stack([pixels] * 4)]))
    crops = CropConfig(short_side_px=32, crop_px=32, num_crops=1)
    crops = crops.model_copy(update=_normalisation(tiny_run))
    clips = crop_views(still, np.array([[48, 64]], np.int32), crops)[:, 0]
    with torch.inference_mode():
        wanted = avrep.load_encoder(tiny_run)(clips).pooled[0].numpy()
    np.testing.assert_allclose(query.vector, wanted, rtol=1e-4, atol=1e-6)
    # Turned by its EXIF: a person holds the camera upright.
    turned = Image.fromarray(np.rot90(pixels).copy())
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(Asker(store).image(tmp_path / "turned.png").vector, query.vector)


def _normalisation(run: Path) -> dict[str, object]:
    augment = build_objective(read_run_config(run)).augments()[0]
    assert augment is not None
    return {"mean": augment.mean, "std": augment.std}


@pytest.mark.slow
def test_sound_finds_pictures_in_their_common_space(
    sync_run: Path, synth_catalog: Catalog, synth_folder: Path, tmp_path: Path
) -> None:
    embed_corpus(sync_run, synth_catalog.path, tmp_path / "video", EVERY)
    pictures = FeatureStore.open(tmp_path / "video")
    audio = EVERY.model_copy(update={"kind": "audio"})
    embed_corpus(sync_run, synth_catalog.path, tmp_path / "audio", audio)
    sounds = FeatureStore.open(tmp_path / "audio")
    heard, seen = sounds.read(), pictures.read()
    # A clip is a segment: 4 frames at 25 a second, and their sound.
    assert pictures.facts.form["clip"]["num_frames"] == 4
    assert sounds.facts.form["duration_s"] == pytest.approx(0.16)
    row = 40
    file = synth_folder / heard.keys[row]
    by_ear = Asker(sounds).sound(file, at_s=float(heard.start_s[row]))
    np.testing.assert_allclose(by_ear.vector, heard.vectors[row], rtol=1e-3, atol=1e-5)
    assert by_ear.project is None

    objective = build_objective(read_run_config(sync_run))
    load_trained(sync_run, objective)
    assert isinstance(objective, SegmentAvclip)
    with torch.inference_mode():
        asked = objective.audio_projection(torch.from_numpy(heard.vectors[row]))
        there = objective.video_projection(torch.from_numpy(seen.vectors))
        similar = (functional.normalize(there, dim=1) @ functional.normalize(asked, dim=0)).numpy()
    query = Asker(pictures).sound(file, at_s=float(heard.start_s[row]))
    found = nearest_clips(pictures, query.vector, 5, project=query.project)
    np.testing.assert_allclose(
        [hit.similarity for hit in found], np.sort(similar)[::-1][:5], atol=1e-4
    )
    # And the other way round: an image among sounds.
    Image.fromarray(np.full((40, 40, 3), 90, np.uint8)).save(tmp_path / "gray.png")
    image = Asker(sounds).image(tmp_path / "gray.png")
    assert len(nearest_clips(sounds, image.vector, 4, project=image.project)) == 4


def test_what_cannot_be_compared_is_told_in_a_line(
    store: FeatureStore, synth_catalog: Catalog, synth_folder: Path, tmp_path: Path
) -> None:
    asker = Asker(store)
    video = synth_folder / store.read().keys[0]
    with pytest.raises(
        ConfigError, match=r"has vectors of pictures, which sound cannot be .* cvrl "
    ):
        asker.sound(video)
    with pytest.raises(ConfigError, match="no file at"):
        asker.like(tmp_path / "none.mp4")
    with pytest.raises(ConfigError, match="no image at"):
        asker.image(tmp_path / "none.png")
    with pytest.raises(ConfigError, match="is no image that can be read"):
        asker.image(video)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(MediaError):
        asker.like(tmp_path / "text.mp4")
    with pytest.raises(ConfigError, match=r"no run at .*; say where it is: --run DIR"):
        Asker(store, tmp_path / "moved")
    assert store.open_catalog().path == synth_catalog.path
    with pytest.raises(ConfigError, match=r"no catalogue at .*; say where it is: --corpus FILE"):
        store.open_catalog(tmp_path / "moved.parquet")
    write_catalog(tmp_path / "other.parquet", list(synth_catalog)[1:], synth_catalog.root)
    with pytest.raises(ConfigError, match="is another catalogue than that which"):
        store.open_catalog(tmp_path / "other.parquet")


def test_a_run_with_other_weights_is_refused(
    store: FeatureStore,
    tiny_config: Callable[..., RunConfig],
    synth_folder: Path,
    tmp_path: Path,
) -> None:
    pretrain(tiny_config(num_steps=1, warmup_steps=0), tmp_path / "run")
    asker = Asker(store, tmp_path / "run")
    with pytest.raises(ConfigError, match="are not those that the features in"):
        asker.like(synth_folder / store.read().keys[0])


@pytest.mark.slow
def test_the_sheet_shows_what_was_asked_for_and_found(
    store: FeatureStore, synth_catalog: Catalog, synth_folder: Path, tmp_path: Path
) -> None:
    rows = store.read()
    query = Asker(store).like(synth_folder / rows.keys[7])
    hits = nearest_clips(store, query.vector, 3, one_per_item=True)
    draw_nearest(query, hits, synth_catalog, tmp_path / "sheet.png", with_sound=False)
    with Image.open(tmp_path / "sheet.png") as picture:
        sheet = np.asarray(picture.convert("RGB"))
    places = []
    for hit in hits:
        # The first of four frames, at the middle of the clip's first fourth.
        first_s = hit.start_s + (hit.end_s - hit.start_s) / 8
        clip = decode(
            (synth_folder / hit.key).read_bytes(),
            ClipTimes(frames_s=np.array([first_s])),
            Geometry(short_side_px=112),
        )
        assert clip.video is not None
        places.append(_place_of(clip.video[0], sheet))
    # Line by line in two columns, beneath what was asked for.
    (first, left), (second, right), (third, below) = places
    assert (left, below) == (20, 20)
    assert right > 20 + 4 * 100
    assert FRAME_HEIGHT_PX < first == second < third - FRAME_HEIGHT_PX


def _place_of(frame: npt.NDArray[np.uint8], sheet: npt.NDArray[np.uint8]) -> tuple[int, int]:
    """Top and left of a frame's only place in the sheet, pixel by pixel."""
    height, width = frame.shape[:2]
    shape = sheet.shape[0] - height + 1, sheet.shape[1] - width + 1
    fits = np.ones(shape, bool)
    for y, x in np.random.default_rng(0).integers(0, (height, width), (40, 2)):
        fits &= sheet[y : y + shape[0], x : x + shape[1], 0] == frame[y, x, 0]
    (place,) = [
        (top, left)
        for top, left in np.argwhere(fits).tolist()
        if np.array_equal(sheet[top : top + height, left : left + width], frame)
    ]
    return place


@pytest.mark.media
@pytest.mark.slow
def test_a_real_speaker_coded_again_is_found_among_the_others(
    tiny_run: Path, media_root: Path, tmp_path: Path
) -> None:
    folder = media_root / "av" / "grid"
    index_sources([str(folder)], tmp_path / "grid.parquet", num_workers=1)
    catalog = Catalog.open(tmp_path / "grid.parquet")
    summary = embed_corpus(tiny_run, catalog.path, tmp_path / "features", EVERY)
    assert (summary.num_items, summary.num_failed) == (7, 0)
    store = FeatureStore.open(tmp_path / "features")
    for item in list(catalog)[::2]:
        assert item.video is not None
        copy = coded_again(folder / item.shard, item.video.fps, tmp_path / "copy.mp4")
        found = nearest_clips(store, Asker(store).like(copy, at_s=0.4).vector, 3)
        assert found[0].key == item.key
