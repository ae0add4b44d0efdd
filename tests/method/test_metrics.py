import numpy as np
import pandas as pd
import pytest

from jointlib.corpora.embedded.speech import speak
from jointlib.metrics import quality, si_sdr
from jointlib.runs.evaluate import score


@pytest.fixture(scope="module")
def speech():
    person = {"voice": "en-us+m3", "pitch": 50, "rate": 170, "tract": 1.0}
    return speak("could you switch on the lights in the kitchen", person, np.random.default_rng(0))


def test_si_sdr_of_orthogonal_noise():
    time = np.arange(16_000) / 16_000
    clean, noise = np.sin(2 * np.pi * 100 * time), np.sin(2 * np.pi * 300 * time)
    assert si_sdr(clean, clean + 10 ** (-10 / 20) * noise) == pytest.approx(10)
    assert si_sdr(clean, 7 * (clean + 0.1 * noise)) == pytest.approx(20)  # whatever the scale


def test_equal_signals_reach_the_limits(speech):
    scores = quality((speech, speech))
    assert scores["pesq_wb"] == pytest.approx(4.644, abs=1e-3)
    assert scores["pesq_nb"] == pytest.approx(4.549, abs=1e-3)
    assert scores["stoi"] == pytest.approx(1, abs=1e-6)
    assert scores["mse"] == 0
    assert np.isnan(scores["si_sdr"]) and "inf" in scores["failed"]


def test_more_noise_is_worse(speech):
    noise = np.random.default_rng(1).normal(size=len(speech))
    scores = [quality((speech, speech + level * noise)) for level in (0.001, 0.01, 0.1)]
    for name in ("pesq_wb", "pesq_nb", "stoi", "si_sdr"):
        values = [entry[name] for entry in scores]
        assert values == sorted(values, reverse=True), name
    assert [entry["mse"] for entry in scores] == pytest.approx([1e-6, 1e-4, 1e-2], rel=0.05)


def test_what_cannot_be_computed_is_nan_with_its_reason(speech):
    silent = quality((np.zeros(16_000), speech[:16_000]))
    assert np.isnan(silent["si_sdr"]) and np.isnan(silent["pesq_wb"])
    assert "si_sdr: silent signal" in silent["failed"] and "pesq_wb: no speech is found in it" in silent["failed"]
    short = quality((speech[4000:5000], speech[4000:5000] + 0.01))
    assert np.isnan(short["stoi"]) and "stoi" in short["failed"]


def test_waveforms_of_unequal_length_are_refused(speech):
    with pytest.raises(ValueError, match="cut them to one length"):
        quality((speech, speech[:-1]))


def test_processes_keep_the_order(speech):
    pairs = [(speech, speech + level) for level in (0.0, 0.1, 0.2)]
    pd.testing.assert_frame_equal(score(pairs, 2, ""), score(pairs, 1, ""))
