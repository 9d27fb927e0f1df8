"""Proves that objectives trained together are the weighted sum of what each does alone."""

from pathlib import Path

import pytest
import torch

from avrep.models.features import Encoder
from avrep.models.heads import ProjectionHeadConfig
from avrep.models.tubelet_vit import TubeletVit, TubeletVitConfig, build_tubelet_vit
from avrep.models.video_conv import VideoConvConfig, build_video_conv
from avrep.models.vjepa_predictor import VjepaPredictorConfig
from avrep.models.waveform import WaveformConfig, build_waveform
from avrep.objectives.base import BatchTensors, LossOut, ViewTensors
from avrep.objectives.cvrl import Cvrl, CvrlConfig
from avrep.objectives.hubert import Hubert, HubertConfig
from avrep.objectives.joint import Joint
from avrep.objectives.rspnet import Rspnet, RspnetConfig
from avrep.objectives.vjepa import Vjepa, VjepaConfig
from avrep.sampling.clips import UniformConfig
from avrep.sampling.pairs import PairConfig
from avrep.training.checkpoint import RunState, load_checkpoint
from avrep.training.checkpoint_store import CheckpointStore
from avrep.training.checkpoint_writer import CheckpointWriter
from avrep.types import Address

_NAMES = ("sharp", "soft")


def _encoder(seed: int = 0) -> Encoder:
    return build_video_conv(VideoConvConfig(arch="r3d_18_fast", base_width=4), seed)


def _part(encoder: Encoder, temperature: float, num_frames: int, seed: int) -> Cvrl:
    config = CvrlConfig(
        sampler=PairConfig(num_frames=num_frames),
        crop_px=16,
        temperature=temperature,
        head=ProjectionHeadConfig(hidden_width=8, num_hidden=1, out_width=4),
    )
    return Cvrl(config, encoder, seed)


def _joint(seed: int = 0) -> Joint:
    encoder = _encoder(seed)
    parts = {"sharp": _part(encoder, 0.1, 4, seed), "soft": _part(encoder, 1.0, 2, seed + 1)}
    return Joint(dict(parts), [1.0, 0.25])


def _batch() -> BatchTensors:
    generator = torch.Generator().manual_seed(3)
    views = tuple(
        ViewTensors(
            video=torch.randn(3, 3, num_frames, 16, 16, generator=generator),
            pts_s=torch.zeros(3, num_frames, dtype=torch.float64),
        )
        for num_frames in (4, 4, 2, 2)
    )
    return BatchTensors(step=2, views=views, addresses=tuple(Address(0, row) for row in range(3)))


def _alone(joint: Joint, batch: BatchTensors) -> list[LossOut]:
    """What each part says of its own two views."""
    outs: list[LossOut] = []
    for number, name in enumerate(_NAMES):
        own = BatchTensors(step=2, views=batch.views[2 * number :][:2], addresses=batch.addresses)
        outs.append(joint.parts[name](own, torch.Generator()))
    return outs


def test_the_loss_is_the_weighted_sum_and_metrics_have_names() -> None:
    # In evaluation mode, since each pass of training moves batch norm's averages.
    joint, batch = _joint().eval(), _batch()
    sharp, soft = _alone(joint, batch)
    out = joint(batch, torch.Generator())
    torch.testing.assert_close(out.loss, sharp.loss + 0.25 * soft.loss)
    assert out.metrics["sharp_loss"] == sharp.loss
    assert out.metrics["soft_loss"] == soft.loss
    assert out.metrics["soft_positive_cosine"] == soft.metrics["positive_cosine"]


def test_the_shared_encoder_gets_both_gradients() -> None:
    joint, batch = _joint().eval(), _batch()
    sharp, soft = _alone(joint, batch)
    weights = list(joint.encoders()["video"].parameters())
    of_sharp = torch.autograd.grad(sharp.loss, weights)
    of_soft = torch.autograd.grad(soft.loss, weights)
    joint(batch, torch.Generator()).loss.backward()
    for weight, a, b in zip(weights, of_sharp, of_soft, strict=True):
        torch.testing.assert_close(weight.grad, a + 0.25 * b, rtol=1e-4, atol=1e-6)


def test_parts_with_encoders_of_their_own_are_refused() -> None:
    parts = {"sharp": _part(_encoder(), 0.1, 4, 0), "soft": _part(_encoder(), 1.0, 2, 1)}
    with pytest.raises(ValueError, match="soft has another video encoder"):
        Joint(dict(parts), [1.0, 1.0])


_VIT = TubeletVitConfig(size="micro", patch_px=8, num_frames=4, crop_px=48, positions="separable")


def _with_teacher(encoder: TubeletVit) -> Vjepa:
    predictor = VjepaPredictorConfig(width=48, depth=1, num_heads=2)
    config = VjepaConfig(sampler=UniformConfig(num_frames=4), crop_px=48, predictor=predictor)
    return Vjepa(config, encoder, 0)


def _listening(seed: int = 0) -> Hubert:
    encoder = build_waveform(WaveformConfig(size="tiny"), seed)
    return Hubert(HubertConfig(labels="unused"), encoder, _no_labels, seed)


def _no_labels(_batch: BatchTensors) -> torch.Tensor:
    return torch.zeros(0)


def test_a_teacher_is_evaluated_where_its_part_alone_trains_the_encoder() -> None:
    seen, heard = _with_teacher(build_tubelet_vit(_VIT, 0)), _listening()
    joint = Joint({"seen": seen, "heard": heard}, [1.0, 1.0])
    assert joint.evaluated() == {"video": seen.teacher.module, "audio": heard.encoder}
    assert joint.encoders() == {"video": seen.encoder, "audio": heard.encoder}
    # So too where the part looks at a further corpus.
    apart = Joint({"heard": heard}, [1.0], {"films": Joint({"seen": seen}, [1.0])})
    assert apart.evaluated() == joint.evaluated()


def test_an_encoder_that_several_train_is_evaluated_itself() -> None:
    encoder = build_tubelet_vit(_VIT, 0)
    parts = {"taught": _with_teacher(encoder), "alike": _part(encoder, 0.1, 4, 0)}
    assert Joint(dict(parts), [1.0, 1.0]).evaluated() == {"video": encoder}
    films = Joint({"taught": parts["taught"]}, [1.0])
    apart = Joint({"alike": parts["alike"]}, [1.0], {"films": films})
    assert apart.evaluated() == {"video": encoder}


def test_lanes_of_augmentation_stay_apart() -> None:
    encoder = _encoder()
    speed = Rspnet(RspnetConfig(out_width=4, queue_size=8), encoder, 0)
    joint = Joint({"speed": speed, "alike": _part(encoder, 0.1, 4, 0)}, [1.0, 1.0])
    assert joint.augment_lanes() == (0, 1, 1, 3, 4)
    assert len(joint.augments()) == 5


def test_a_view_too_many_is_refused() -> None:
    joint, batch = _joint(), _batch()
    more = BatchTensors(step=0, views=(*batch.views, batch.views[0]))
    with pytest.raises(ValueError, match="want 4 views, got 5"):
        joint(more, torch.Generator())


def test_a_checkpoint_has_the_shared_encoder_once(tmp_path: Path) -> None:
    trained, fresh, batch = _joint(1), _joint(2), _batch()
    optimizer = torch.optim.SGD(trained.parameters(), lr=0.1)
    trained(batch, torch.Generator()).loss.backward()
    optimizer.step()
    state = RunState(step=1, config={}, versions={}, data_digest="")
    store = CheckpointStore(str(tmp_path))
    with CheckpointWriter(store, keep_last=1) as writer:
        writer.save(state, trained, optimizer)
    num_bytes = Path(store.latest().url, "model.safetensors").stat().st_size
    unique = {tensor.data_ptr(): tensor.nbytes for tensor in trained.state_dict().values()}
    assert num_bytes < 1.1 * sum(unique.values()) + 20_000
    load_checkpoint(store.latest(), fresh)
    assert torch.equal(
        fresh.eval()(batch, torch.Generator()).loss, trained.eval()(batch, torch.Generator()).loss
    )
