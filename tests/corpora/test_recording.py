"""Recording conditions against their limits: nothing but silence is added, a room decays as long as it says."""

import numpy as np
import pytest

from jointlib import SAMPLE_RATE
from jointlib.config import EmbeddedCorpus
from jointlib.corpora.embedded.recording import draw_place, record

OFF = {"unsteadiness": 0, "microphone_db": 0, "direct_db": (300, 300), "floor_db": (300, 300), "recording_seconds": 0}
SPEECH = np.random.default_rng(1).normal(size=SAMPLE_RATE)


def recorded(speech, **ranges):
    settings, rng = EmbeddedCorpus().model_dump() | OFF | ranges, np.random.default_rng(0)
    return record(speech, draw_place(settings, rng), settings, rng)


def test_without_conditions_silence_is_added_and_nothing_else():
    wave = recorded(SPEECH, recording_seconds=3)
    start = int(np.argmax(np.abs(wave) > 1e-6))
    assert len(wave) == 3 * SAMPLE_RATE and 0 < start < 2 * SAMPLE_RATE
    assert wave == pytest.approx(np.pad(SPEECH, (start, 2 * SAMPLE_RATE - start)), abs=1e-6)


def test_a_room_falls_by_60_db_within_its_reverberation_time():
    click = np.zeros(SAMPLE_RATE)
    click[0] = 1
    tail = recorded(click, direct_db=(6, 6), reverberation_seconds=(0.5, 0.5))
    energy = np.cumsum(tail[:0:-1] ** 2)[::-1]  # Schroeder's backward integral of what follows the direct sound
    assert 10 * np.log10(tail[0] ** 2 / energy[0]) == pytest.approx(6, abs=0.1)
    assert np.argmax(10 * np.log10(energy / energy[0]) < -30) / SAMPLE_RATE == pytest.approx(0.25, rel=0.1)


def test_the_room_tone_lies_as_far_below_speech_as_asked():
    tone = recorded(SPEECH, floor_db=(30, 30)) - recorded(SPEECH)
    assert 20 * np.log10(tone.std() / SPEECH.std()) == pytest.approx(-30, abs=0.1)


def test_a_microphone_colours_speech_and_does_not_delay_it():
    wave = recorded(SPEECH, microphone_db=3)
    spectrum = np.abs(np.fft.rfft(wave) / np.fft.rfft(SPEECH))
    assert np.ptp([20 * np.log10(np.median(part)) for part in np.array_split(spectrum, 8)]) > 3
    assert np.argmax(np.correlate(wave, SPEECH[100:-100])) == 100


def test_the_pitch_of_a_tone_wanders():
    tone = np.sin(2 * np.pi * 500 * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE)
    periods = np.diff(np.flatnonzero(np.diff(np.sign(recorded(tone, unsteadiness=0.02))))[::20])
    assert 0.005 < periods.std() / periods.mean() < 0.05
