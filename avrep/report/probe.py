"""Tries libraries in a process of its own, because one of them may end the process it runs in.

`python -m avrep.report.probe av decord` prints one JSON line before and one after each library, in
order, so that whoever reads them knows which one was being tried when the process died.
"""

import importlib
import importlib.metadata
import io
import json
import sys
from collections.abc import Callable

_NUM_FRAMES, _SIZE_PX = 8, 64


def main(names: list[str]) -> None:
    for name in names:
        print(json.dumps({"trying": name}), flush=True)
        print(json.dumps({"name": name, **_outcome(name)}), flush=True)


def _outcome(name: str) -> dict[str, str]:
    # A broken binary raises OSError, a clash of versions RuntimeError or AttributeError, and so on:
    # whatever a library does to an import is what the doctor is here to tell.
    try:
        importlib.import_module(name)
        return {"outcome": "ok", "said": _TRIALS.get(name, lambda: "")()}
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        return {
            "outcome": "missing" if missing else "broken",
            "said": f"{type(error).__name__}: {' '.join(lines)[:400]}",
        }


def encode_clip() -> bytes:
    """An MP4 of eight grey frames, each brighter than the one before, encoded in memory."""
    import av
    import numpy as np

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width = stream.height = _SIZE_PX
        stream.pix_fmt = "yuv420p"
        for i in range(_NUM_FRAMES):
            grey = np.full((_SIZE_PX, _SIZE_PX, 3), 30 + 24 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def _try_av() -> str:
    import av

    with av.open(io.BytesIO(encode_clip()), "r") as container:
        greys = [float(f.to_ndarray(format="rgb24").mean()) for f in container.decode(video=0)]
    return _check(greys)


def _try_decord() -> str:
    import decord

    reader = decord.VideoReader(io.BytesIO(encode_clip()))
    return _check([float(reader[i].asnumpy().mean()) for i in range(len(reader))])


def _try_torchcodec() -> str:
    from torchcodec.decoders import VideoDecoder

    frames = VideoDecoder(encode_clip())[:]
    return _check([float(frame.float().mean()) for frame in frames])


def _check(greys: list[float]) -> str:
    expected = [30 + 24 * i for i in range(_NUM_FRAMES)]
    if len(greys) != _NUM_FRAMES:
        raise ValueError(f"decoded {len(greys)} frames of {_NUM_FRAMES}")
    if max(abs(g - e) for g, e in zip(greys, expected, strict=True)) > 6:
        raise ValueError(f"decoded greys {[round(g) for g in greys]} instead of {expected}")
    return f"decodes {_NUM_FRAMES} frames of {_NUM_FRAMES}"


def _try_torch() -> str:
    import torch

    if not torch.cuda.is_available():
        return json.dumps([])
    devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return json.dumps([[device.name, device.total_memory] for device in devices])


_TRIALS: dict[str, Callable[[], str]] = {
    "av": _try_av,
    "decord": _try_decord,
    "torch": _try_torch,
    "torchcodec": _try_torchcodec,
}

if __name__ == "__main__":
    main(sys.argv[1:])
