"""Resampling against tones, closed forms and scipy; mixtures that are stored in 16 bits.

Each tolerance is stated with what was found, which is smaller.
"""

import math

import numpy as np
import pytest
import torch
from oracles import add_noise, speech_like
from scipy.signal import firwin, resample_poly

from jointlib.corpora.audio import resample
from jointlib.corpora.contaminate import mix

pytestmark = pytest.mark.trust
RATES = (8000, 22_050, 44_100, 48_000, 96_000)
ODD_RATE = 44_099  # by FFT, as no filter of bearable length turns it into 16,000
EDGE = 800  # samples at either end, where the tone begins and ends


def tone(hertz: float, sample_rate: int, seconds: float = 1.3) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * sample_rate)) / sample_rate + 0.3)


def level_db(wave: np.ndarray) -> float:
    """Power of a wave without its edges, in dB of a tone's."""
    return 10 * np.log10(np.mean(wave[EDGE:-EDGE] ** 2) / 0.5)


def to_16_khz(wave: np.ndarray, sample_rate: int) -> np.ndarray:
    return resample(torch.tensor(wave, dtype=torch.float32), sample_rate).numpy().astype(np.float64)


@pytest.mark.parametrize("part", [0.05, 0.3, 0.6, 0.85])
@pytest.mark.parametrize(("sample_rate", "limit_db"), [*((rate, -90) for rate in RATES), (ODD_RATE, -60)])
def test_resampled_tones_are_tones(sample_rate, limit_db, part):
    """Up to 0.85 of the lower Nyquist frequency: found -98 dB or less; by FFT -82 dB, as its sinc decays slowly."""
    hertz = part * min(sample_rate, 16_000) / 2 + 0.37  # no whole number of periods
    resampled = to_16_khz(tone(hertz, sample_rate), sample_rate)
    assert len(resampled) == math.ceil(round(1.3 * sample_rate) * 16_000 / sample_rate)
    expected = np.sin(2 * np.pi * hertz * np.arange(len(resampled)) / 16_000 + 0.3)
    assert level_db(resampled - expected) < limit_db


@pytest.mark.parametrize("hertz", [8160, 9000, 10_500])
@pytest.mark.parametrize(
    ("sample_rate", "limit_db"), [*((rate, -90) for rate in RATES if rate > 16_000), (ODD_RATE, -60)]
)
def test_tones_above_the_new_nyquist_frequency_vanish(sample_rate, limit_db, hertz):
    """From 1.02 of it on: found -105 dB or less; by FFT -68 dB."""
    assert level_db(to_16_khz(tone(hertz, sample_rate), sample_rate)) < limit_db


def test_an_odd_rate_does_not_drift():
    """By the end of 5.4 s a clip that was stretched to whole samples would be off by half a sample."""
    wave = tone(3000.7, ODD_RATE, 5.4)
    resampled = to_16_khz(wave, ODD_RATE)
    expected = np.sin(2 * np.pi * 3000.7 * np.arange(len(resampled)) / 16_000 + 0.3)
    assert level_db(resampled[-3200:] - expected[-3200:]) < -60


def test_an_odd_rate_does_not_join_the_end_to_the_beginning():
    """An FFT takes a wave for a circle. Found -102 dB at the beginning of a clip that ends loud."""
    wave = np.zeros(2 * ODD_RATE - 1)
    wave[-4000:] = tone(1000, ODD_RATE)[:4000]
    assert 10 * np.log10(np.mean(to_16_khz(wave, ODD_RATE)[:100] ** 2) / 0.5) < -70


@pytest.mark.parametrize("sample_rate", RATES)
def test_resampling_agrees_with_scipy(sample_rate):
    """Noise up to 0.8 of the lower Nyquist frequency. Found -60 dB against scipy's own filter, of 10 zero crossings,
    and -98 dB or less against one as long as ours."""
    up, down = 16_000 // math.gcd(sample_rate, 16_000), sample_rate // math.gcd(sample_rate, 16_000)
    spectrum = np.fft.rfft(np.random.default_rng(0).normal(size=sample_rate))
    spectrum[round(0.8 * min(sample_rate, 16_000) / 2) :] = 0  # a bin a hertz
    wave = np.fft.irfft(spectrum, sample_rate)
    ours, theirs = to_16_khz(wave, sample_rate), resample_poly(wave, up, down)
    longest = max(up, down)
    long = resample_poly(wave, up, down, window=firwin(128 * longest + 1, 1 / longest, window=("kaiser", 12.0)))
    assert len(ours) == len(theirs) == 16_000
    assert level_db(ours - theirs) - level_db(theirs) < -55
    assert level_db(ours - long) - level_db(long) < -90


def stored(clean: np.ndarray, snr_db: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Clean and noisy (B, T) of one speech (T,) with a noise of a kind at several SNRs (B,), as 16-bit integers."""
    noise = add_noise(clean, 0, kind) - clean
    speech, noise = (torch.tensor(wave, dtype=torch.float32).repeat(len(snr_db), 1) for wave in (clean, noise))
    lengths, wanted = torch.full((len(snr_db),), len(clean)), torch.tensor(snr_db, dtype=torch.float32)
    mixture = mix(speech, noise, lengths, wanted)
    integers = [torch.round(32768 * wave).double().numpy() for wave in (mixture.clean, mixture.noisy)]
    assert np.abs(integers).max() <= 32767
    return integers[0], integers[1]


def realised(clean: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """SNR (B,) in dB of two batches (B, T)."""
    return 10 * np.log10(np.sum(clean**2, axis=1) / np.sum((noisy - clean) ** 2, axis=1))


@pytest.mark.parametrize("kind", ["white", "low"])
def test_16_bits_keep_the_snr(kind):
    """Found within 3e-4 dB."""
    wanted = np.arange(-10.0, 31.0, 2.5)
    assert realised(*stored(speech_like(), wanted, kind)) == pytest.approx(wanted, abs=0.01)


def test_where_16_bits_end():
    """Rounding clean and noisy adds a noise of 2/12 of a squared step: at -25 dBFS of speech, -74 dB of the speech. So
    45 dB still come within 0.01 dB, and 60 dB come out as 59.8."""
    wanted = np.array([45.0, 60.0])
    clean, noisy = stored(speech_like(), wanted, "white")
    speech, found = np.mean(clean**2, axis=1), realised(clean, noisy)
    assert found == pytest.approx(10 * np.log10(speech / (speech * 10 ** (-wanted / 10) + 2 / 12)), abs=0.06)
    assert found[0] == pytest.approx(45, abs=0.01)
    assert 60 - found[1] > 0.1


def test_16_bits_end_sooner_under_a_click():
    """A single click of 4 s at -25 dBFS would peak at 14: rescaled, speech lies at -48 dBFS, and 30 dB below it 16 bits
    are left four steps: found 29.96 dB, and within 0.01 dB up to 20."""
    click = np.zeros(64_000)
    click[30_000] = 1.0
    found = realised(*stored(click, np.array([20.0, 30.0]), "white"))
    assert found[0] == pytest.approx(20, abs=0.01)
    assert 30 - found[1] > 0.01
