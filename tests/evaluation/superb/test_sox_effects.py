"""Proves SoX's gain and silence: sample by sample as its source goes, and worked by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avrep.evaluation.superb.sox_effects import gain, trim_silence


def sox_silence(samples: list[float]) -> list[float]:
    """The effect's own states, one sample after another."""
    out: list[float] = []
    held: list[float] = []
    window: list[float] = [0.0] * 320
    energy, copying, place = 0.0, False, 0
    for sample in samples:
        energy += sample * sample - window[place]
        window[place] = sample * sample
        place = (place + 1) % 320
        loud = max(energy, 0.0) / 320 >= 0.001**2
        if copying and loud:
            out += [*held, sample]
            held = []
        elif copying:
            held.append(sample)
            if len(held) == 1600:
                held, copying = [], False
                window, energy, place = [0.0] * 320, 0.0, 0
        elif loud:
            held.append(sample)
            if len(held) == 1600:
                out += held
                held, copying = [], True
        else:
            held = []
    return out + held if copying else out


def stretches(*parts: tuple[float, int]) -> torch.Tensor:
    """Alternating samples of some height, so that the loudness is the height."""
    pieces = [np.full(length, height) * (-1) ** np.arange(length) for height, length in parts]
    return torch.from_numpy(np.concatenate([*pieces, np.zeros(0)])).float()


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.0005, 0.002, 0.5]),
            st.sampled_from([1, 319, 700, 1290, 1600, 1930, 2500]),
        ),
        max_size=7,
    )
)
def test_against_a_sample_at_a_time(parts: list[tuple[float, int]]) -> None:
    sound = stretches(*parts)
    wanted = torch.tensor(sox_silence(sound.double().tolist())).float()
    torch.testing.assert_close(trim_silence(sound), wanted, rtol=0, atol=0)


def test_worked_by_hand() -> None:
    # The loudness of 20 ms is above 0.1% from the first loud sample on, and until 20 ms behind the last.
    sound = stretches((0.0, 3000), (0.5, 4000), (0.0, 8000), (0.5, 4000), (0.0, 1000))
    assert len(trim_silence(sound)) == (4000 + 319) + (4000 + 1000)
    # A click is no sound, a short pause no silence.
    assert len(trim_silence(stretches((0.5, 100), (0.0, 8000)))) == 0
    assert len(trim_silence(stretches((0.5, 4000), (0.0, 1500), (0.5, 4000)))) == 9500
    assert len(trim_silence(torch.zeros(0))) == 0


def test_three_decibels() -> None:
    assert gain(torch.tensor([1.0]))[0] == pytest.approx(0.7079, abs=1e-4)
    assert gain(torch.tensor([0.1]), 20.0)[0] == pytest.approx(1.0)
