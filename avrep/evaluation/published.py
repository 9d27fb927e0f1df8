"""Figures that papers and their repositories give for the tasks that avrep measures.

Only figures whose source was read, or that a paper lists of others; where two sources disagree, or a
figure was measured by another protocol, it is not here or the note says so. SUPERB's own table is
missing: no primary source of it was at hand.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One figure."""

    task: str
    protocol: str
    metric: str
    encoder: str
    value: float
    """As a fraction where the field quotes percent."""
    source: str
    note: str = ""
    """What is not as avrep does it by default."""


_OWN_LIST = "VideoMAE (arXiv 2203.12602), table 13"
_TEST_SELECTED = "the epoch was chosen on the test split"


def published_for(task: str, protocol: str, metric: str) -> tuple[Published, ...]:
    """Every figure of one number, best known first as they stand in the list."""
    return tuple(
        figure
        for figure in PUBLISHED
        if (figure.task, figure.protocol, figure.metric) == (task, protocol, metric)
    )


def _speech() -> tuple[Published, ...]:
    rows = (
        ("superb/sid", "acc", "HuBERT Base", 0.8142, "s3prl, issue 268", "learning rate 0.1"),
        ("superb/sid", "acc", "data2vec Base", 0.7021, "s3prl, issue 469", ""),
        ("superb/asv", "eer", "data2vec Base", 0.0577, "s3prl, issue 469", "chosen on test"),
        ("superb/pr", "per", "WavLM Base", 0.0484, "WavLM (as quoted in s3prl, issue 498)", ""),
    )
    return tuple(
        Published(
            task=task,
            protocol="superb",
            metric=metric,
            encoder=encoder,
            value=value,
            source=source,
            note=note,
        )
        for task, metric, encoder, value, source, note in rows
    )


def _retrieval() -> tuple[Published, ...]:
    depths = (1, 5, 10, 20, 50)
    rows: tuple[tuple[Literal["ucf101", "hmdb51"], str, tuple[float, ...], str, str], ...] = (
        ("ucf101", "RSPNet, R3D-18, K400", (0.411, 0.594, 0.684, 0.778, 0.887), "RSPNet", ""),
        ("ucf101", "RSPNet, C3D, K400", (0.360, 0.567, 0.665, 0.763, 0.877), "RSPNet", ""),
        ("ucf101", "DSM, C3D", (0.168, 0.334, 0.434, 0.546, 0.707), "DSM", ""),
        ("hmdb51", "DSM, C3D", (0.082, 0.259, 0.381, 0.520, 0.750), "DSM", ""),
        ("ucf101", "CoCLR, S3D, UCF101", (0.518,), "CoCLR", "split mean subtracted"),
        ("ucf101", "InfoNCE, S3D, UCF101", (0.331,), "CoCLR", "split mean subtracted"),
    )
    return tuple(
        Published(
            task=task,
            protocol="retrieval",
            metric=f"r@{depth}",
            encoder=encoder,
            value=value,
            source=source,
            note=note or "split 1",
        )
        for task, encoder, values, source, note in rows
        for depth, value in zip(depths, values, strict=False)
    )


def _finetuned() -> tuple[Published, ...]:
    rows = (
        ("VideoMAE, ViT-B, K400", 0.961, 0.733, "VideoMAE", "split 1"),
        ("VideoMAE, ViT-B, no other videos", 0.913, 0.626, "VideoMAE", "split 1"),
        ("rho-BYOL (4), R3D-50, K400", 0.942, 0.721, _OWN_LIST, ""),
        ("RSPNet, S3D-G, K400", 0.937, 0.647, "RSPNet", f"split 1; {_TEST_SELECTED}"),
        ("CVRL, R3D-50, K400", 0.929, 0.679, _OWN_LIST, ""),
        ("CoCLR, S3D, K400", 0.879, 0.546, _OWN_LIST, ""),
        ("RSPNet, R(2+1)D, K400", 0.811, 0.446, "RSPNet", f"split 1; {_TEST_SELECTED}"),
        ("RSPNet, C3D, K400", 0.767, 0.446, "RSPNet", f"split 1; {_TEST_SELECTED}"),
        ("RSPNet, R3D-18, K400", 0.743, 0.418, "RSPNet", f"split 1; {_TEST_SELECTED}"),
        ("VCOP", 0.724, 0.309, _OWN_LIST, ""),
    )
    return tuple(
        Published(
            task=task,
            protocol="finetune",
            metric="top1",
            encoder=encoder,
            value=value,
            source=source,
            note=note,
        )
        for encoder, on_ucf, on_hmdb, source, note in rows
        for task, value in (("ucf101", on_ucf), ("hmdb51", on_hmdb))
    )


PUBLISHED: tuple[Published, ...] = (*_speech(), *_retrieval(), *_finetuned())
