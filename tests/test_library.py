"""avrep as a library: the README's own examples run, and importing the package costs nothing."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import avrep
from avrep.errors import ConfigError, MediaError
from avrep.evaluate import Embedder
from avrep.media.catalog import Catalog, write_catalog
from avrep.pipeline.stream import plain_stream
from avrep.sampling.pairs import PairConfig
from avrep.trained import read_run_config

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, avrep; print(sorted({'torch', 'ray', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_names_are_there_and_no_others() -> None:
    assert all(callable(getattr(avrep, name)) for name in avrep.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        getattr(avrep, "".join(["non", "sense"]))


def test_the_readmes_examples_are_short() -> None:
    assert len(EXAMPLES) == 2
    assert all(len(example.strip().splitlines()) <= 10 for example in EXAMPLES)


def test_the_readmes_first_example_runs(
    synth_catalog: Catalog,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copy(synth_catalog.path, tmp_path / "corpus.parquet")
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[0], "README", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 25 // 8
    assert "uint8[8, 8, 72, 96, 3]" in lines[0]


def test_the_readmes_second_example_runs(
    tiny_run: Path,
    synth_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(tiny_run, tmp_path / "runs" / "demo" / "seed0")
    shutil.copy(synth_folder / "videos" / "test" / "00001.mp4", tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    exec(compile(EXAMPLES[1], "README", "exec"), {})
    assert capsys.readouterr().out.strip() == "torch.Size([4, 32])"


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_actors_stream_what_this_process_does(synth_catalog: Catalog) -> None:
    sampler = PairConfig(num_frames=4)
    plain, decoded = (
        list(
            avrep.stream_clips(
                synth_catalog.path, sampler, batch_size=6, num_epochs=2, num_decode_actors=actors
            )
        )
        for actors in (0, 2)
    )
    assert len(plain) == len(decoded) == 2 * (25 // 6)
    for a, b in zip(plain, decoded, strict=True):
        assert a.keys == b.keys
        for mine, other in zip(a.views, b.views, strict=True):
            np.testing.assert_array_equal(mine.video, other.video)


def test_files_that_moved_are_read_where_they_are(synth_catalog: Catalog, tmp_path: Path) -> None:
    write_catalog(tmp_path / "moved.parquet", list(synth_catalog), "/gone")
    first, same = (
        next(avrep.stream_clips(path, PairConfig(num_frames=4), batch_size=2, root=root))
        for path, root in (
            (synth_catalog.path, None),
            (tmp_path / "moved.parquet", synth_catalog.root),
        )
    )
    assert first.keys == same.keys
    np.testing.assert_array_equal(first.views[0].video, same.views[0].video)


def test_eval_clips_are_what_the_evaluation_embeds(
    tiny_run: Path, synth_catalog: Catalog, synth_folder: Path
) -> None:
    """The vectors of a file equal those that `avrep evaluate` computes for the same item."""
    encoder = avrep.load_encoder(tiny_run)
    row = 3
    clips = avrep.eval_clips(tiny_run, synth_folder / synth_catalog[row].key)
    with torch.inference_mode():
        alone = encoder(clips).pooled.numpy()
    config = read_run_config(tiny_run)
    embedder = Embedder(config, {"it": encoder}, torch.device("cpu"), plain_stream, None)
    among = embedder.plain(np.array([1, row, 5]))
    np.testing.assert_allclose(among.features["it"][1], alone, rtol=1e-4, atol=1e-6)


def test_mistakes(tiny_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no catalogue"):
        next(avrep.stream_clips(tmp_path / "none", PairConfig(), batch_size=1))
    with pytest.raises(ConfigError, match="no run at"):
        avrep.load_encoder(tmp_path)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(MediaError):
        avrep.eval_clips(tiny_run, tmp_path / "text.mp4")
