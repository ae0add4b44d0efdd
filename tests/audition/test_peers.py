"""Enhancers of others: aligned, with settled states, loaded on demand; and the table that compares them with ours."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import enhancers
from benchmarks.enhancers import in_frames
from benchmarks.peers import delay_of, shown


@pytest.fixture
def waves():
    generator = np.random.default_rng(0)
    return [generator.standard_normal(length).astype(np.float32) for length in (12_000, 16_001)]


@pytest.mark.parametrize("late", [0, 1, 480])
def test_an_installed_enhancer_that_is_late_is_aligned(waves, late, monkeypatch):
    def enhance(wave):
        return 0.5 * np.concatenate([np.zeros(late), wave])

    assert delay_of(enhance, waves) == late
    monkeypatch.setattr(enhancers, "PEERS", {"late": ("numpy", enhance, late), "absent": ("no_such", enhance, 0)})
    (found,) = enhancers.installed_peers().values()
    assert all(np.array_equal(found(wave), 0.5 * wave) for wave in waves)


def test_recurrent_states_have_settled(waves):
    def enhance(wave):
        return np.where(np.arange(len(wave)) < 8_000, 0, wave)  # deaf for half a second

    assert all(np.array_equal(enhancers.aligned(enhance, delay=0)(wave), wave) for wave in waves)


def test_frames_join_to_the_waveform(waves):
    for wave in waves:
        assert np.array_equal(in_frames(lambda frame: frame, wave, 480)[: len(wave)], wave)


def test_the_table_has_the_best_first_and_a_dash_for_what_is_missing():
    rows = [("worse", "pesq_wb", 1.1, 1.0, 1.2, 1), ("better", "pesq_wb", 2.0, 1.9, 2.1, 1)]
    rows += [("better", "own", 0.9, 0.8, 1, 1)]
    lines = shown(pd.DataFrame(rows, columns=["enhancer", "metric", "value", "low", "high", "seeds"])).splitlines()
    assert "2.00 [1.90, 2.10]" in lines[2] and "better" in lines[2]
    assert "worse" in lines[3] and "–" in lines[3]
