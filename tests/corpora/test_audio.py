"""Audio files of every kind, whole and damaged; resampling against tones, closed forms and scipy."""

import io
import math

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import firwin, resample_poly

from jointlib.corpora.audio import read_audio, resample

RATES = (8000, 22_050, 44_100, 48_000, 96_000)
EDGE = 800  # samples at either end, where the tone begins and ends
WHOLE = {}
for kind in ("WAV PCM_16", "WAV PCM_24", "WAV FLOAT", "WAV PCM_U8", "RF64 PCM_16", "AIFF PCM_16", "FLAC PCM_16"):
    container, coding = kind.split()
    soundfile.write(file := io.BytesIO(), 0.3 * np.sin(0.1 * np.arange(8000)), 16_000, coding, format=container)
    WHOLE[kind] = file.getvalue()


def tone(hertz: float, sample_rate: int, seconds: float = 1.3) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * sample_rate)) / sample_rate + 0.3)


def level_db(wave: np.ndarray) -> float:
    """Power of a wave without its edges, in dB of a tone's."""
    return 10 * np.log10(np.mean(wave[EDGE:-EDGE] ** 2) / 0.5)


def to_16_khz(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    return resample(torch.tensor(wave, dtype=torch.float32), sample_rate).numpy().astype(np.float64)


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize(
    ("ending", "sample_rate", "channels"),
    [("flac", 8000, 2), ("ogg", 44_100, 1), ("wav", 22_050, 3), ("mp3", 16_000, 1)],
)
def test_any_format_rate_and_channel_count(tmp_path, ending, sample_rate, channels, opened):
    file = tmp_path / f"tone.{ending}"
    soundfile.write(file, np.tile(0.4 * tone(440, sample_rate, 1.0)[:, None], channels), sample_rate)
    with file.open("rb") as stream:
        wave = resample(*read_audio(stream if opened else file))
    assert wave.shape == (16_000,)
    assert np.abs(wave.numpy() - 0.4 * tone(440, 16_000, 1.0))[500:-500].max() < 0.02


@given(st.sampled_from(["WAV PCM_16", "WAV PCM_24", "WAV FLOAT", "WAV PCM_U8", "FLAC PCM_16"]), st.floats(0, 0.95))
def test_a_file_that_is_cut_is_an_error(kind, part):
    content = WHOLE[kind]
    with pytest.raises(ValueError, match=r"ends early, after|not readable as audio|holds no samples"):
        read_audio(io.BytesIO(content[: math.floor(part * len(content))]))


@pytest.mark.parametrize("sample_rate", [rate for rate in RATES if rate > 16_000])
def test_tones_above_the_new_nyquist_frequency_vanish(sample_rate):
    """From 1.02 of it on: found -105 dB or less."""
    assert level_db(to_16_khz(tone(8160, sample_rate), sample_rate)) < -90


def test_an_odd_rate_is_taken_for_one_near_it():
    """For 44,099 Hz, torchaudio's filters would take gigabytes."""
    wave = torch.tensor(tone(440, 44_100), dtype=torch.float32)
    assert torch.equal(resample(wave, 44_099), resample(wave, 44_100))
    assert torch.equal(resample(wave, 16_000, 44_099), resample(wave, 16_000, 44_100))


@pytest.mark.parametrize("sample_rate", RATES)
def test_resampling_agrees_with_scipy(sample_rate):
    """Noise up to 0.8 of the lower Nyquist frequency, 1.3 s. Found -60 dB against scipy's own filter, of 10 zero
    crossings, and -98 dB or less against one as long as ours."""
    up, down = 16_000 // math.gcd(sample_rate, 16_000), sample_rate // math.gcd(sample_rate, 16_000)
    samples = round(1.3 * sample_rate)
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=samples))
    spectrum[round(1.3 * 0.8 * min(sample_rate, 16_000) / 2) :] = 0
    wave = np.fft.irfft(spectrum, samples)
    ours, theirs = to_16_khz(wave, sample_rate), resample_poly(wave, up, down)
    longest = max(up, down)
    long = resample_poly(wave, up, down, window=firwin(128 * longest + 1, 1 / longest, window=("kaiser", 12.0)))
    assert len(ours) == len(theirs) == math.ceil(samples * 16_000 / sample_rate)
    assert level_db(ours - theirs) - level_db(theirs) < -55
    assert level_db(ours - long) - level_db(long) < -90
