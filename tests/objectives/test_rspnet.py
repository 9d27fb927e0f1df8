"""Proves RSPNet's objective: a value worked by hand, several steps restated in numpy loops with the
queue and the key network, the released code's views, and that it learns to tell speeds apart.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pydantic import ValidationError
from torch import Tensor, nn

from avrep.models.features import Encoder, Features
from avrep.models.seeded import seeded
from avrep.objectives.base import BatchTensors, ViewTensors
from avrep.objectives.rspnet import Rspnet, RspnetConfig
from avrep.sampling.spec import num_views
from avrep.sampling.speeds import SpeedsConfig
from avrep.training.optim import OptimConfig, build_optimizer

_CONFIGS = Path(__file__).parents[2] / "configs"


class _MeanColour(Encoder):
    """A clip's feature is its mean colour: what the loss should be is then plain to see."""

    def __init__(self) -> None:
        super().__init__(3)

    def forward(self, clips: Tensor, /) -> Features:
        colours = clips.mean(dim=(2, 3, 4))
        return Features(tokens=colours[:, None], grid=(1, 1, 1), pooled=colours)


def _batch(*videos: Tensor, step: int = 0) -> BatchTensors:
    pts_s = torch.zeros(videos[0].shape[0], videos[0].shape[2], dtype=torch.float64)
    return BatchTensors(
        step=step, views=tuple(ViewTensors(video=video, pts_s=pts_s) for video in videos)
    )


def _clips(colours: Any) -> Tensor:
    return (
        torch.as_tensor(colours, dtype=torch.float32)[:, :, None, None, None]
        .expand(-1, -1, 2, 8, 8)
        .contiguous()
    )


def _colour_objective(**changes: Any) -> Rspnet:
    return Rspnet(RspnetConfig(out_width=3, **changes), _MeanColour(), 0)


def test_a_value_worked_by_hand() -> None:
    # Heads that change nothing, T = 0.5, margin 3, and a queue of one blue key.
    objective = _colour_objective(temperature=0.5, margin=3.0, queue_size=1)
    for network in (objective.query_network, objective.key_network.module):
        for head in (network.appearance_head, network.motion_head):
            nn.init.eye_(head.weight)
            nn.init.zeros_(head.bias)
    objective.queue.keys.copy_(torch.tensor([[0.0, 0.0, 1.0]]))
    # A red query; the key of its speed is red, the other green; brightness is normalised away.
    batch = _batch(_clips([[2, 0, 0]]), _clips([[1, 0, 0]]), _clips([[0, 3, 0]]))
    out = objective(batch, torch.Generator())
    # Logits 2 and 0 of the positives, 0 of the queue; a gap of 2 where 3 is asked for.
    appearance = math.log(1 + math.exp(-2)) + math.log(2)
    assert out.metrics["appearance_loss"].item() == pytest.approx(appearance, rel=1e-5)
    assert out.metrics["speed_loss"].item() == pytest.approx(1.0, rel=1e-5)
    assert out.loss.item() == pytest.approx(appearance + 1.0, rel=1e-5)
    assert out.metrics["appearance_top1"].item() == 0.5
    assert out.metrics["speed_accuracy"].item() == 1.0
    assert out.metrics["queue_fill"].item() == 0.0
    # The keys exchanged: nothing changes for appearance, but the gap is -2.
    swapped = _batch(_clips([[2, 0, 0]]), _clips([[0, 3, 0]]), _clips([[1, 0, 0]]))
    out = objective(swapped, torch.Generator())
    assert out.loss.item() == pytest.approx(appearance + 5.0, rel=1e-5)
    assert out.metrics["speed_accuracy"].item() == 0.0


def test_weights_scale_the_two_losses() -> None:
    batch = _batch(*(_clips(torch.rand(3, 3)) for _ in range(3)))
    out = _colour_objective(appearance_weight=0.5, speed_weight=3.0)(batch, torch.Generator())
    expected = 0.5 * out.metrics["appearance_loss"] + 3.0 * out.metrics["speed_loss"]
    torch.testing.assert_close(out.loss, expected)


class _Restated:
    """RSPNet's key network and queue in numpy: colours in, loss out. Heads as (weight, bias)."""

    def __init__(self, objective: Rspnet) -> None:
        self.config = objective.config
        self.key_heads = self.query_heads(objective)
        self.queue = list(objective.queue.keys.double().numpy())
        self.num_keys = 0

    def query_heads(self, objective: Rspnet) -> list[list[np.ndarray]]:
        network = objective.query_network
        return [
            [parameter.detach().double().numpy().copy() for parameter in head.parameters()]
            for head in (network.appearance_head, network.motion_head)
        ]

    def loss(self, query_heads: list[list[np.ndarray]], colours: np.ndarray) -> float:
        temperature, total = self.config.temperature, 0.0
        for query, same, other in colours.transpose(1, 0, 2):
            q_a, q_m = (self._embed(head, query) for head in query_heads)
            k_a, k_m = (self._embed(head, same) for head in self.key_heads)
            n_a, n_m = (self._embed(head, other) for head in self.key_heads)
            negatives = sum(math.exp(q_a @ key / temperature) for key in self.queue)
            for positive in (k_a, n_a):
                own = math.exp(q_a @ positive / temperature)
                total -= math.log(own / (own + negatives))
            total += max(0.0, self.config.margin - (q_m @ k_m - q_m @ n_m) / temperature)
        return total / colours.shape[1]

    def move_on(self, query_heads: list[list[np.ndarray]], colours: np.ndarray) -> None:
        for other in colours[2]:
            self.queue[self.num_keys % len(self.queue)] = self._embed(self.key_heads[0], other)
            self.num_keys += 1
        m = self.config.momentum
        for key_head, query_head in zip(self.key_heads, query_heads, strict=True):
            for i in range(2):
                key_head[i] = m * key_head[i] + (1 - m) * query_head[i]

    def _embed(self, head: list[np.ndarray], colour: np.ndarray) -> np.ndarray:
        row = head[0] @ colour + head[1]
        return row / np.sqrt((row**2).sum())


def test_several_steps_equal_loops_in_numpy() -> None:
    # Batches of 3 wrap around a queue of 5.
    objective = _colour_objective(queue_size=5, momentum=0.7, temperature=0.2)
    restated = _Restated(objective)
    optimizer = torch.optim.SGD(objective.query_network.parameters(), lr=0.5)
    rng = np.random.default_rng(0)
    for step in range(4):
        colours = rng.normal(size=(3, 3, 3))
        out = objective(_batch(*map(_clips, colours), step=step), torch.Generator())
        expected = restated.loss(restated.query_heads(objective), colours)
        assert out.loss.item() == pytest.approx(expected, rel=1e-4)
        assert out.metrics["queue_fill"].item() == pytest.approx(min(3 * step / 5, 1))
        optimizer.zero_grad()
        out.loss.backward()
        optimizer.step()
        restated.move_on(restated.query_heads(objective), colours)
        objective.after_step(step + 1, 4)
        np.testing.assert_allclose(objective.queue.keys.numpy(), restated.queue, atol=1e-5)
        keys = objective.key_network.module
        assert isinstance(keys.motion_head, nn.Linear)
        np.testing.assert_allclose(
            keys.motion_head.weight.numpy(), restated.key_heads[1][0], atol=1e-5
        )


def test_micro_batches_of_a_step_meet_one_queue_and_are_enqueued_once() -> None:
    colours = torch.rand(3, 4, 3)
    whole, parts = _colour_objective(queue_size=16), _colour_objective(queue_size=16)
    loss = whole(_batch(*map(_clips, colours)), torch.Generator()).loss
    halves = [
        parts(_batch(*map(_clips, half)), torch.Generator()).loss
        for half in colours.split(2, dim=1)
    ]
    torch.testing.assert_close(torch.stack(halves).mean(), loss)
    for objective in (whole, parts):
        objective.after_step(1, 10)
        assert objective.queue.num_enqueued.item() == 4
        objective.after_step(2, 10)
        assert objective.queue.num_enqueued.item() == 4
    torch.testing.assert_close(whole.queue.keys, parts.queue.keys)


def test_only_the_step_that_is_taken_enters_the_queue() -> None:
    objective = _colour_objective(queue_size=16)
    batches = [_batch(*map(_clips, torch.rand(3, 2, 3)), step=step) for step in (0, 1)]
    objective(batches[0], torch.Generator())  # A step that is given up.
    objective(batches[1], torch.Generator())
    objective.eval()(batches[1], torch.Generator())  # Only looked at.
    objective.after_step(2, 10)
    assert objective.queue.num_enqueued.item() == 2


def test_it_asks_for_what_the_released_code_uses() -> None:
    objective = Rspnet(RspnetConfig(), _MeanColour(), 0)
    (spec,) = objective.view_specs()
    assert isinstance(spec.sampler, SpeedsConfig)
    assert (spec.sampler.span_frames, spec.sampler.stride, spec.sampler.speeds) == (32, 1, (2,))
    assert num_views(spec) == 3
    assert objective.queue.keys.shape == (16384, 128)
    query, same, other = objective.augments()
    assert query == same == other
    # Both keys are views of one augmented clip.
    assert objective.augment_lanes() == (0, 1, 1)
    assert (query.crop_px, query.area, query.aspect) == (112, (0.4, 1.0), (0.75, 4 / 3))
    assert (query.flip_probability, query.jitter_probability) == (0.5, 1.0)
    assert (query.brightness, query.contrast, query.saturation, query.hue) == (0.4,) * 4
    assert (query.gray_probability, query.blur_probability, query.solarize_probability) == (
        0.2,
        0.0,
        0.0,
    )
    assert query.mean == (0.485, 0.456, 0.406)
    assert query.std == (0.229, 0.224, 0.225)


def test_the_published_recipe_writes_the_defaults_out() -> None:
    tree = yaml.safe_load((_CONFIGS / "rspnet_k400.yaml").read_text(encoding="utf-8"))
    assert RspnetConfig.model_validate(tree["objective"]) == RspnetConfig()
    assert tree["objective"].keys() == RspnetConfig().model_dump().keys()
    train = tree["train"]
    assert train["num_steps"] == pytest.approx(200 * 215_570 / 256, abs=1)
    assert train["optim"]["lr"] == pytest.approx(0.1 * train["batch_size"] / 64)
    assert train["final_lr"] == pytest.approx(train["optim"]["lr"] / 1000)
    toy = yaml.safe_load((_CONFIGS / "toy" / "rspnet.yaml").read_text(encoding="utf-8"))
    RspnetConfig.model_validate(toy["objective"])


def test_the_encoder_handed_out_is_the_one_that_learns() -> None:
    encoder = _MeanColour()
    objective = Rspnet(RspnetConfig(queue_size=8), encoder, 0)
    assert objective.encoders()["video"] is encoder
    assert objective.key_network.module.encoder is not encoder


def test_the_key_network_begins_again_where_the_query_network_is() -> None:
    objective = _colour_objective()
    for weights in objective.query_network.parameters():
        weights.data += 1
    objective.restart_teachers()
    keys = objective.key_network.module.state_dict()
    for name, tensor in objective.query_network.state_dict().items():
        assert keys[name].equal(tensor), name


def test_other_views_are_refused() -> None:
    objective = _colour_objective(queue_size=4)
    red, green = _clips([[1, 0, 0]]), _clips([[0, 1, 0], [0, 1, 0]])
    views = _batch(red, red, red).views
    missing = ViewTensors(video=None, pts_s=views[0].pts_s)
    for wrong in (views[:2], views * 2, (views[0], views[1], missing)):
        with pytest.raises(ValueError, match="wants three views"):
            objective(BatchTensors(step=0, views=wrong), torch.Generator())
    with pytest.raises(ValueError, match=r"float32\[2, 3, 2, 8, 8\]"):
        objective(_batch(red, red, green), torch.Generator())


@pytest.mark.parametrize(
    "wrong", [{"temperature": 0}, {"queue_size": 0}, {"momentum": 1.5}, {"sampler": {"power": 1}}]
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        RspnetConfig.model_validate(wrong)


def _waves(num_clips: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Stripes that move in a direction of their own, all at one pace; speed 2 moves twice as far."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.arange(16), np.arange(16), indexing="ij")
    videos = np.zeros((3, num_clips, 3, 8, 16, 16))
    for clip in range(num_clips):
        angle, colour = rng.uniform(0, 2 * np.pi), rng.normal(size=3)
        slow_query = rng.random() < 0.5
        own, other = (1, 2) if slow_query else (2, 1)
        starts = rng.uniform(0, 2 * np.pi, size=2)
        for view, (start, speed) in enumerate(
            ((starts[0], own), (starts[1], own), (starts[1], other))
        ):
            for t in range(8):
                phase = 0.8 * (np.cos(angle) * x + np.sin(angle) * y) - 0.6 * speed * t + start
                videos[view, clip, :, t] = colour[:, None, None] * np.sin(phase)
    query, same, other_speed = torch.from_numpy(videos).float()
    return query, same, other_speed


class _TwoConvolutions(Encoder):
    """What little it takes to see motion."""

    def __init__(self) -> None:
        super().__init__(32)
        with seeded(0, "test"):
            self.layers = nn.Sequential(
                nn.Conv3d(3, 32, (3, 5, 5), stride=(1, 2, 2)),
                nn.ReLU(),
                nn.Conv3d(32, 32, 3, stride=(1, 2, 2)),
                nn.ReLU(),
            )

    def forward(self, clips: Tensor, /) -> Features:
        maps = self.layers(clips)
        _, _, t, h, w = maps.shape
        return Features(
            tokens=maps.flatten(2).transpose(1, 2), grid=(t, h, w), pooled=maps.mean(dim=(2, 3, 4))
        )


@pytest.mark.slow
def test_it_learns_to_tell_speeds_apart() -> None:
    config = RspnetConfig(queue_size=64, momentum=0.9, out_width=16)
    objective = Rspnet(config, _TwoConvolutions(), 0)
    optimizer = build_optimizer(
        objective.named_parameters(), OptimConfig(name="adamw", lr=0.002, weight_decay=0.0)
    )
    unseen = _batch(*_waves(64, 1000))
    before = objective(unseen, torch.Generator()).metrics
    for step in range(120):
        loss = objective(_batch(*_waves(32, step), step=step), torch.Generator()).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.after_step(step + 1, 120)
    after = objective(unseen, torch.Generator()).metrics
    # Chance is 1/2, and a loss at the margin of 2 where all clips look equally fast.
    assert after["speed_accuracy"].item() > 0.95
    assert after["speed_loss"].item() < 0.5 < 1.5 < before["speed_loss"].item()
