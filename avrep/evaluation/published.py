"""Figures that papers and their repositories give for the tasks that avrep measures.

Only figures whose source was read, or that a paper lists of others; where two sources disagree, or a
figure was measured by another protocol, it is not here or the note says so. SUPERB's own table is
missing: no primary source of it was at hand. So are SAYCam's figures of few labels (Orhan et al.): their
encoders were fine-tuned on them, and avrep's few labels are for a probe of a frozen one.
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
_MODEL_ZOO = "VideoMAE, MODEL_ZOO"
_CVRL = "CVRL, README"
_XDC = "XDC, README"
_TEST_SELECTED = "the epoch was chosen on the test split"
_CVRL_VIEWS = "10 clips x 3 crops of 32 frames; trained on augmented clips"
_OLD_VIEWS = "split 1; 10 clips, one centre crop"
_CENTRED = "split 1; split mean subtracted"
_VJEPA2 = "a probe of 4 blocks, rates chosen of 20"


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
        ("superb/sid", "acc", "HuBERT Base, rate untuned", 0.6737, "s3prl, issue 268", "rate 1e-4"),
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
        (
            "ucf101",
            "RSPNet, R3D-18, K400",
            (0.411, 0.594, 0.684, 0.778, 0.887),
            "RSPNet",
            _OLD_VIEWS,
        ),
        ("ucf101", "RSPNet, C3D, K400", (0.360, 0.567, 0.665, 0.763, 0.877), "RSPNet", _OLD_VIEWS),
        ("ucf101", "DSM, C3D", (0.168, 0.334, 0.434, 0.546, 0.707), "DSM", _OLD_VIEWS),
        ("hmdb51", "DSM, C3D", (0.082, 0.259, 0.381, 0.520, 0.750), "DSM", _OLD_VIEWS),
        ("ucf101", "CoCLR, S3D, UCF101", (0.518,), "CoCLR", _CENTRED),
        ("ucf101", "InfoNCE, S3D, UCF101", (0.331,), "CoCLR", _CENTRED),
    )
    return tuple(
        Published(
            task=task,
            protocol="retrieval",
            metric=f"r@{depth}",
            encoder=encoder,
            value=value,
            source=source,
            note=note,
        )
        for task, encoder, values, source, note in rows
        for depth, value in zip(depths, values, strict=False)
    )


def _finetuned() -> tuple[Published, ...]:
    """On UCF101 and HMDB51, in this order."""
    rspnet = f"split 1; {_TEST_SELECTED}"
    rows = (
        ("VideoMAE, ViT-B, K400", 0.961, 0.733, "VideoMAE", "split 1"),
        ("XDC, R(2+1)D-18, IG-Kinetics, with sound", 0.955, 0.689, _XDC, ""),
        ("XDC, R(2+1)D-18, IG-Random, with sound", 0.946, 0.665, _XDC, ""),
        ("CVRL, R3D-152 (2x), K600", 0.944, 0.706, _OWN_LIST, ""),
        ("rho-BYOL (4), R3D-50, K400", 0.942, 0.721, _OWN_LIST, ""),
        ("RSPNet, S3D-G, K400", 0.937, 0.647, "RSPNet", rspnet),
        ("CVRL, R3D-50, K600", 0.936, 0.694, _OWN_LIST, ""),
        ("XDC, R(2+1)D-18, AudioSet, with sound", 0.930, 0.637, _XDC, ""),
        ("CVRL, R3D-50, K400", 0.929, 0.679, _OWN_LIST, "another list has 66.7 on HMDB51"),
        ("MMV", 0.925, 0.696, _OWN_LIST, ""),
        (
            "VideoMAE, ViT-B, no other videos",
            0.913,
            0.626,
            "VideoMAE",
            "split 1; 61.1 on HMDB51 in an earlier version",
        ),
        ("RSPNet, S3D-G, K400, 200 epochs", 0.899, 0.596, "RSPNet", rspnet),
        ("GDT, K400", 0.893, 0.600, _OWN_LIST, ""),
        ("Vi2CLR, K400", 0.891, 0.557, _OWN_LIST, ""),
        ("CoCLR, S3D, K400", 0.879, 0.546, _OWN_LIST, ""),
        ("MemDPC", 0.861, 0.545, _OWN_LIST, ""),
        ("XDC, K400", 0.842, 0.471, _OWN_LIST, ""),
        ("Vi2CLR, UCF101", 0.828, 0.529, _OWN_LIST, ""),
        ("CoCLR, UCF101", 0.814, 0.521, _OWN_LIST, ""),
        ("SpeedNet", 0.811, 0.488, _OWN_LIST, ""),
        ("RSPNet, R(2+1)D, K400", 0.811, 0.446, "RSPNet", rspnet),
        ("VideoMoCo", 0.787, 0.492, _OWN_LIST, ""),
        ("Pace", 0.771, 0.366, _OWN_LIST, ""),
        ("RSPNet, C3D, K400", 0.767, 0.446, "RSPNet", rspnet),
        ("RSPNet, R3D-18, K400", 0.743, 0.418, "RSPNet", rspnet),
        ("VCOP", 0.724, 0.309, _OWN_LIST, ""),
        ("OPN", 0.596, 0.238, _OWN_LIST, ""),
    )
    dsm = ("DSM, I3D, UCF101", 0.748, 0.525, "DSM, README", "mean over classes")
    return tuple(
        Published(
            task=task,
            protocol="finetune",
            metric=metric,
            encoder=encoder,
            value=value,
            source=source,
            note=note,
        )
        for metric, group in (("top1", rows), ("mean_class", (dsm,)))
        for encoder, on_ucf, on_hmdb, source, note in group
        for task, value in (("ucf101", on_ucf), ("hmdb51", on_hmdb))
    )


def _on_large_sets() -> tuple[Published, ...]:
    """On Kinetics and Something-Something v2; which Kinetics is in the note."""
    mae_views, zoo = "K400; 10 clips x 3 crops", "K400; 5 clips x 3 crops"
    ssv2_zoo, once = "2 clips x 3 crops", "without repeated augmentation"
    rspnet = f"2 clips; {_TEST_SELECTED}"
    rows: tuple[tuple[Literal["kinetics", "ssv2"], str, str, float, str, str], ...] = (
        ("kinetics", "linear", "CVRL, R3D-50, K600", 0.704, _CVRL, f"K600; {_CVRL_VIEWS}"),
        ("kinetics", "linear", "CVRL, R3D-50, K600, K400", 0.685, _CVRL, f"K400; {_CVRL_VIEWS}"),
        ("kinetics", "linear", "CVRL, R3D-50, K400", 0.661, _CVRL, f"K400; {_CVRL_VIEWS}"),
        (
            "kinetics",
            "linear",
            "CVRL, R3D-50, K400, 200 epochs",
            0.638,
            _CVRL,
            f"K400; {_CVRL_VIEWS}",
        ),
        ("kinetics", "linear", "ImageNet, inflated, K600", 0.547, _CVRL, f"K600; {_CVRL_VIEWS}"),
        ("kinetics", "linear", "ImageNet, inflated, K400", 0.535, _CVRL, f"K400; {_CVRL_VIEWS}"),
        ("kinetics", "attentive", "V-JEPA, ViT-H", 0.820, "V-JEPA", "K400; 8 clips x 3 crops"),
        (
            "kinetics",
            "attentive",
            "V-JEPA, ViT-H, 384 px",
            0.819,
            "V-JEPA",
            "K400; 8 clips x 3 crops",
        ),
        ("kinetics", "attentive", "V-JEPA, ViT-L", 0.808, "V-JEPA", "K400; 8 clips x 3 crops"),
        ("kinetics", "finetune", "VideoMAE, ViT-H, K400", 0.866, _MODEL_ZOO, zoo),
        ("kinetics", "finetune", "VideoMAE, ViT-L, K400", 0.852, _MODEL_ZOO, zoo),
        ("kinetics", "finetune", "MAE-ST, ViT-L, K400", 0.8435, "MAE-ST", mae_views),
        ("kinetics", "finetune", "VideoMAE, ViT-B, K400", 0.815, _MODEL_ZOO, zoo),
        (
            "kinetics",
            "finetune",
            "VideoMAE, ViT-B, K400, 800 epochs",
            0.800,
            _MODEL_ZOO,
            f"{zoo}; {once}, 81.0 with it",
        ),
        ("kinetics", "finetune", "VideoMAE, ViT-S, K400", 0.790, _MODEL_ZOO, zoo),
        (
            "ssv2",
            "attentive",
            "V-JEPA 2, ViT-g, 384 px",
            0.773,
            "V-JEPA 2",
            f"64 frames; {_VJEPA2}",
        ),
        (
            "ssv2",
            "attentive",
            "V-JEPA 2, ViT-L",
            0.737,
            "V-JEPA 2",
            f"2 clips x 3 crops; {_VJEPA2}",
        ),
        ("ssv2", "attentive", "V-JEPA, ViT-H, 384 px", 0.722, "V-JEPA", ssv2_zoo),
        ("ssv2", "attentive", "V-JEPA, ViT-H", 0.714, "V-JEPA", ssv2_zoo),
        ("ssv2", "attentive", "V-JEPA, ViT-L", 0.695, "V-JEPA", ssv2_zoo),
        ("ssv2", "finetune", "VideoMAE, ViT-B, SSv2", 0.708, _MODEL_ZOO, ssv2_zoo),
        (
            "ssv2",
            "finetune",
            "VideoMAE, ViT-B, SSv2, 800 epochs",
            0.696,
            _MODEL_ZOO,
            f"{ssv2_zoo}; {once}",
        ),
        ("ssv2", "finetune", "VideoMAE, ViT-S, SSv2", 0.668, _MODEL_ZOO, ssv2_zoo),
        ("ssv2", "finetune", "RSPNet, S3D-G, K400", 0.5503, "RSPNet", rspnet),
        ("ssv2", "finetune", "RSPNet, C3D, K400", 0.4776, "RSPNet", rspnet),
        ("ssv2", "finetune", "RSPNet, R3D-18, K400", 0.4402, "RSPNet", rspnet),
    )
    return tuple(
        Published(
            task=task,
            protocol=protocol,
            metric="top1",
            encoder=encoder,
            value=value,
            source=source,
            note=note,
        )
        for task, protocol, encoder, value, source, note in rows
    )


def _synchrony() -> tuple[Published, ...]:
    """Among the same 21 offsets; `--task sync` is of whatever videos it is given."""
    rows = (
        ("LRS3", 0.866, 0.996),
        ("AudioSet, on VGGSound-Sparse", 0.472, 0.674),
        ("VGGSound, on VGGSound-Sparse", 0.438, 0.602),
    )
    return tuple(
        Published(
            task="sync",
            protocol="offset",
            metric=metric,
            encoder=f"Synchformer, {videos}",
            value=value,
            source="Synchformer, README",
            note="on videos of its own, 21 offsets up to 2 s",
        )
        for videos, exact, nearly in rows
        for metric, value in (("offset_top1", exact), ("offset_within_1", nearly))
    )


PUBLISHED: tuple[Published, ...] = (
    *_speech(),
    *_retrieval(),
    *_finetuned(),
    *_on_large_sets(),
    *_synchrony(),
)
