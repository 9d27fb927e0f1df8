"""Proves the momentum copy and the queue of keys against values worked by hand and plain lists."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from avrep.models.momentum import KeyQueue, MomentumCopy, linear_momentum
from avrep.models.seeded import seeded


def _set(module: nn.Module, value: float) -> None:
    for parameter in module.parameters():
        nn.init.constant_(parameter, value)


def test_an_update_by_hand() -> None:
    module = nn.Linear(2, 1)
    _set(module, 1.0)
    teacher = MomentumCopy(module)
    _set(module, 3.0)
    # 0.75 * 1 + 0.25 * 3, then 0.5 * 1.5 + 0.5 * 3.
    teacher.update(module, 0.75)
    assert teacher.module.weight.tolist() == [[1.5, 1.5]]
    teacher.update(module, 0.5)
    assert teacher.module.bias.tolist() == [2.25]
    teacher.update(module, 1.0)
    assert teacher.module.bias.tolist() == [2.25]
    teacher.update(module, 0.0)
    assert teacher.module.bias.tolist() == [3.0]


def test_many_updates_follow_the_recurrence() -> None:
    module, rng = nn.Linear(4, 3), np.random.default_rng(0)
    teacher = MomentumCopy(module)
    expected = module.weight.detach().double().numpy()
    for _ in range(200):
        weights = rng.normal(size=(3, 4))
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(weights))
        teacher.update(module, 0.99)
        expected = 0.99 * expected + 0.01 * weights
    np.testing.assert_allclose(teacher.module.weight.numpy(), expected, atol=1e-6)


def test_it_has_no_gradient_and_leaves_the_original_s_alone() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    teacher = MomentumCopy(module)
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert not teacher(torch.randn(3, 2, requires_grad=True)).requires_grad


def test_buffers_are_its_own() -> None:
    module = nn.BatchNorm1d(2, momentum=0.5)
    teacher = MomentumCopy(module)
    module(torch.full((4, 2), 8.0))
    teacher(torch.full((4, 2), 2.0))
    teacher.update(module, 0.9)
    averages = [m.state_dict()["running_mean"].tolist() for m in (module, teacher.module)]
    assert averages == [[4.0, 4.0], [1.0, 1.0]]


def test_another_network_or_momentum_is_refused() -> None:
    teacher = MomentumCopy(nn.Linear(2, 1))
    with pytest.raises(ValueError, match="shorter"):
        teacher.update(nn.Linear(2, 1, bias=False), 0.9)
    for momentum in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
            teacher.update(teacher.module, momentum)


def test_a_queue_begins_as_random_directions() -> None:
    queues = []
    for seed in (0, 0, 1):
        with seeded(seed, "queue"):
            queues.append(KeyQueue(50, 8))
    torch.testing.assert_close(queues[0].keys.norm(dim=1), torch.ones(50))
    assert torch.equal(queues[0].keys, queues[1].keys)
    assert not torch.equal(queues[0].keys, queues[2].keys)
    assert queues[0].fill().item() == 0.0


def test_keys_replace_the_oldest_by_hand() -> None:
    queue = KeyQueue(5, 1)
    queue.enqueue(torch.tensor([[1.0], [2.0], [3.0]]))
    assert queue.fill().item() == pytest.approx(0.6)
    queue.enqueue(torch.tensor([[4.0], [5.0], [6.0]]))
    assert queue.keys.flatten().tolist() == [6, 2, 3, 4, 5]
    queue.enqueue(torch.tensor([[7.0]]))
    assert queue.keys.flatten().tolist() == [6, 7, 3, 4, 5]
    assert queue.fill().item() == 1.0
    assert queue.num_enqueued.item() == 7


@given(size=st.integers(1, 7), batches=st.lists(st.integers(0, 20), max_size=6))
def test_a_queue_holds_the_newest_keys_whatever_comes(size: int, batches: list[int]) -> None:
    queue = KeyQueue(size, 1)
    slots = queue.keys.flatten().tolist()
    count = 0
    for num_keys in batches:
        keys = [float(100 + count + i) for i in range(num_keys)]
        queue.enqueue(torch.tensor(keys)[:, None])
        for key in keys:
            slots[count % size] = key
            count += 1
        assert queue.keys.flatten().tolist() == slots
    newest = {float(100 + i) for i in range(max(0, count - size), count)}
    assert newest <= set(queue.keys.flatten().tolist())


def test_a_queue_goes_on_from_a_state_dict() -> None:
    first, second = KeyQueue(3, 2), KeyQueue(3, 2)
    first.enqueue(torch.randn(2, 2))
    second.load_state_dict(first.state_dict())
    keys = torch.randn(2, 2)
    for queue in (first, second):
        queue.enqueue(keys)
    assert torch.equal(first.keys, second.keys)


def test_keys_of_a_bfloat16_network_are_kept_in_float32() -> None:
    queue = KeyQueue(2, 2)
    queue.enqueue(torch.ones(1, 2, dtype=torch.bfloat16))
    assert queue.keys.dtype == torch.float32


def test_a_linear_momentum_by_hand() -> None:
    # V-JEPA's released schedule: 0.998 to 1 in 1.25 times as many steps as are taken.
    assert linear_momentum(1, 90_000, 0.998, 0.9996) == 0.998
    assert linear_momentum(90_001, 90_000, 0.998, 0.9996) == pytest.approx(0.9996)
    released = 0.998 + 44_999 * (1 - 0.998) / (90_000 * 1.25)
    assert linear_momentum(45_000, 90_000, 0.998, 0.9996) == pytest.approx(released, abs=1e-12)
