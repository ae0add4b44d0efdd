import math

import numpy as np
import pytest

from jointlib.corpora.embedded.speech import speak
from jointlib.metrics import QUALITY, quality


@pytest.fixture(scope="module")
def speech():
    person = {"voice": "en-us+m3", "pitch": 50, "rate": 170, "tract": 1.0}
    return speak("could you switch on the lights in the kitchen", person, np.random.default_rng(0))


def test_equal_signals_reach_the_limits(speech):
    """PESQ's is a raw score of 4.5 through P.862.1 (narrow band) and P.862.2 (wide band)."""
    scores = quality((speech, speech))
    assert scores["pesq_nb"] == pytest.approx(0.999 + 4 / (1 + math.exp(-1.4945 * 4.5 + 4.6607)), abs=1e-5)
    assert scores["pesq_wb"] == pytest.approx(0.999 + 4 / (1 + math.exp(-1.3669 * 4.5 + 3.8224)), abs=1e-5)
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


@pytest.mark.parametrize("name", QUALITY)
def test_what_are_no_two_waveforms_of_one_length_is_refused(name, speech):
    for pair in ((speech, speech[:-1]), (speech[None], speech), (speech[None], speech[None])):
        with pytest.raises(ValueError, match="cut them to one length"):
            quality(pair, (name,))
