"""The bench that other enhancers are put on: warm, aligned, and fair to one that does nothing."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import peers
from benchmarks.peers import delay_of, in_frames, on_demand, shown, warmed
from jointlib.config import load_config


@pytest.fixture
def waves():
    generator = np.random.default_rng(0)
    return [generator.standard_normal(length).astype(np.float32) for length in (12_000, 16_001)]


@pytest.mark.parametrize("late", [0, 1, 480])
def test_an_enhancer_that_is_late_is_aligned(waves, late):
    def enhance(wave):
        return 0.5 * np.concatenate([np.zeros(late), wave])

    assert delay_of(enhance, waves) == late
    for wave in waves:
        assert np.array_equal(warmed(enhance, late)(wave), 0.5 * wave)


def test_an_enhancer_is_warm_when_it_is_judged(waves):
    def enhance(wave):
        return np.where(np.arange(len(wave)) < 8_000, 0, wave)  # deaf for half a second

    assert all(np.array_equal(warmed(enhance)(wave), wave) for wave in waves)


def test_peers_are_made_once_when_they_are_used_and_only_where_installed(waves, tiny_profile, monkeypatch):
    made = []

    def late():
        made.append("late")
        return lambda wave: np.concatenate([np.zeros(7), wave])

    monkeypatch.setattr(peers, "PEERS", {"late": ("numpy", late), "absent": ("no-such-package", late)})
    found = on_demand(load_config(tiny_profile))
    assert [*found] == ["late"] and made == []
    assert all(np.array_equal(found["late"](wave), wave) for wave in waves) and made == ["late"]


def test_frames_join_to_the_wave(waves):
    for wave in waves:
        assert np.array_equal(in_frames(lambda frame: frame, wave, 480)[: len(wave)], wave)


def test_the_table_has_the_best_first_and_says_what_is_missing():
    rows = [
        ("worse", "pesq_wb", 1.1, 1.0, 1.2, 1),
        ("better", "pesq_wb", 2.0, 1.9, 2.1, 1),
        ("better", "own", 0.9, 0.8, 1, 1),
    ]
    lines = shown(pd.DataFrame(rows, columns=["enhancer", "metric", "value", "low", "high", "seeds"])).splitlines()
    assert "2.00 [1.90, 2.10]" in lines[2] and "better" in lines[2]
    assert "worse" in lines[3] and "–" in lines[3]
