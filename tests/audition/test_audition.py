import io
import json

import numpy as np
import pytest
import soundfile
import torch
import torchaudio.functional as AF

from jointlib import audition
from jointlib.audition.sounds import SoundError
from jointlib.corpora.noises import Noises
from jointlib.runs.run import load_run, titled_runs

RNG = np.random.default_rng(0)


def wave(samples: int = 8000, level: float = 0.1) -> torch.Tensor:
    return torch.from_numpy(RNG.normal(scale=level, size=samples)).float()


def written(samples: np.ndarray, sample_rate: int, **how) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, **{"format": "WAV", **how})
    return file.getvalue()


@pytest.fixture(scope="module")
def runs(tiny_runs):
    return {name: load_run(folder) for name, folder in tiny_runs.items()}


@pytest.mark.parametrize("sample_rate", [8000, 16_000, 44_100])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_file_becomes_16_khz_mono(sample_rate, channels):
    tone = np.sin(2 * np.pi * 440 * np.arange(sample_rate) / sample_rate)
    decoded = audition.decode(written(np.stack([tone] * channels, axis=1) * 0.5, sample_rate), "tone.wav")
    assert decoded.shape == (16_000,)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert np.abs(decoded.numpy() - expected)[200:-200].max() < 0.01


def test_rates_without_a_common_divisor():
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44_099) / 44_099)  # a polyphase filter would take gigabytes
    decoded = audition.decode(written(tone, 44_099), "tone.wav").numpy()
    assert np.abs(decoded - 0.5 * np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000))[500:-500].max() < 0.01


@pytest.mark.parametrize("ending", ["FLAC", "OGG", "MP3"])
def test_formats(ending):
    assert abs(len(audition.decode(written(wave(32_000).numpy(), 16_000, format=ending), "a")) - 32_000) < 2000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"not a sound" * 100, "cannot be read as audio"),
        (b"", "cannot be read as audio"),
        (written(wave(8000).numpy(), 16_000)[:30], "cannot be read as audio"),
        (written(np.full(8000, np.nan), 16_000, subtype="FLOAT"), "cannot be read as audio"),
        (written(np.zeros(8000), 16_000), "is silent"),
        (written(np.zeros(0), 16_000), "lasts 0.00 s"),
        (written(wave(100).numpy(), 16_000), "lasts 0.01 s"),
        (written(wave(600 * 800).numpy(), 800), "lasts 600.00 s"),
    ],
    ids=["text", "empty", "cut", "nan", "silent", "no samples", "short", "long"],
)
def test_bad_sounds_in_plain_words(content, words):
    with pytest.raises(SoundError, match=f"^x.wav {words}[^\n]*$"):
        audition.decode(content, "x.wav")


def test_excerpts_are_of_the_type_and_repeat(noise_root):
    noises = Noises.read(noise_root / "noise_test")
    first, again = (audition.excerpt(noises, "Typing", 20_000, np.random.default_rng(3)) for _ in range(2))
    assert first.file.startswith("Typing_") and torch.equal(first.wave, again.wave) and len(first.wave) == 20_000
    recording, _ = soundfile.read(noise_root / "noise_test" / first.file, dtype="float32")
    expected = np.resize(np.roll(recording, -first.offset), 20_000)
    assert np.allclose(first.wave.numpy(), expected, atol=1e-4)


def test_snr_and_no_noise():
    clean, noisy = audition.contaminate(wave(), wave(), 7.0)
    assert 10 * torch.log10(clean.square().sum() / (noisy - clean).square().sum()) == pytest.approx(7.0, abs=1e-3)
    clean, noisy = audition.contaminate(wave(), None, 7.0)
    assert torch.equal(clean, noisy)


def test_the_gain_fits_enhanced_to_noisy(runs):
    noisy = wave()
    made = audition.take(runs["jt"], noisy)
    assert abs(float((noisy - made.enhanced) @ made.enhanced)) < 1e-4 * float(made.enhanced @ made.enhanced)
    assert torch.allclose(made.enhanced / made.gain, runs["jt"].process(noisy, level_db=None)[0], atol=1e-6)


def test_strength_goes_from_the_noisy_wave_to_the_runs_own_reading(runs):
    noisy = wave()
    made = audition.take(runs["jt"], noisy)
    dry, wet = (audition.hear(made, noisy, strength) for strength in (0.0, 1.0))
    assert torch.equal(dry, noisy) and torch.allclose(wet, made.enhanced)
    assert torch.allclose(audition.read(made, None, wet[None])[0], made.probabilities, atol=1e-5)
    swept = audition.sweep(made, None, noisy, np.array([0.0, 0.3, 1.0]))
    assert swept.shape == (3, 3) and torch.allclose(swept[2], made.probabilities, atol=1e-5)
    assert torch.allclose(swept[0], audition.read(made, None, dry[None])[0], atol=1e-6)


def test_a_listener_reads_what_is_heard_of_a_run_that_reads_no_wave(runs):
    noisy, listener = wave(), runs["classifier_clean"]
    made = audition.take(runs["bn"], noisy)
    assert audition.read(made, None, noisy[None]) is None
    heard = audition.hear(made, noisy, 0.5)
    assert torch.allclose(audition.read(made, listener, heard[None]), listener.classify(heard[None]))
    with pytest.raises(ValueError, match="no back-end that reads a wave"):
        runs["bn"].classify(noisy[None])


def test_a_run_without_a_front_end_leaves_the_noisy_wave(runs):
    noisy = wave()
    made = audition.take(runs["classifier_clean"], noisy)
    assert torch.equal(made.enhanced, noisy) and made.gain == 1
    assert torch.allclose(audition.read(made, None, noisy[None])[0], made.probabilities, atol=1e-6)


def test_readings_name_who_reads_what(runs):
    clean, noisy = audition.contaminate(wave(), wave(), 5.0)
    takes = {"A": audition.take(runs["jt"], noisy), "B": audition.take(runs["bn"], noisy)}
    heard = {lane: made.enhanced for lane, made in takes.items()}
    waves = audition.channels(clean, noisy, heard, "B")
    assert list(waves) == ["clean", "noisy", "enhanced A", "enhanced B", "residual"]
    assert torch.equal(waves["residual"], noisy - heard["B"])
    found = audition.readings(waves, takes, runs["classifier_clean"], "listener")
    assert [(reading.title, reading.by) for reading in found] == [
        ("clean", "listener"),
        ("noisy", "listener"),
        ("enhanced A", "its own classifier"),
        ("B: the bottleneck", "its own classifier, at any strength"),
        ("enhanced B", "listener"),
    ]
    alone = audition.readings(waves, takes, None, "")
    assert [reading.title for reading in alone] == ["enhanced A", "B: the bottleneck"]


def test_channels_are_brought_to_one_loudness():
    waves = {"clean": wave(level=0.01), "noisy": wave(level=0.05), "enhanced A": wave(3000, 0.2), "residual": wave()}
    gains = audition.loudness_gains(waves)
    loud = [float(AF.loudness((gains[name] * waves[name])[None], 16_000)) for name in ("clean", "noisy")]
    assert loud[0] == pytest.approx(loud[1], abs=0.01) and gains["residual"] == gains["noisy"]
    assert gains["clean"] == pytest.approx(5 * gains["noisy"], rel=0.03)
    assert max(float((gains[name] * wave).abs().max()) for name, wave in waves.items()) <= 0.9901
    assert audition.loudness_gains({"1": torch.zeros(8000), "2": wave()})["1"] > 0


def test_the_player_gets_the_waves_and_one_colour_scale():
    waves = {"clean": wave(), "noisy": 2 * wave()}
    sound = audition.player_sound(waves, audition.loudness_gains(waves))
    samples = np.frombuffer(sound["audio"], np.int16).reshape(2, -1) * sound["peak"] / 32767
    assert np.abs(samples - torch.stack(list(waves.values())).numpy()).max() < sound["peak"] / 32767
    shades = np.frombuffer(sound["mels"], np.uint8).reshape(2, -1, 64)
    assert shades.max() == 255 and shades[1].mean() - shades[0].mean() == pytest.approx(6.02 / 70 * 255, abs=2)


def test_export(tmp_path):
    waves = {"clean": wave(), "enhanced A": 30 * wave()}
    audition.export(tmp_path / "new", waves, {"snr_db": 5})
    about = json.loads((tmp_path / "new/about.json").read_text())
    stored, sample_rate = soundfile.read(tmp_path / "new/enhanced_A.wav")
    assert sample_rate == 16_000 and about["snr_db"] == 5
    assert np.allclose(stored / about["scale"], waves["enhanced A"], atol=1e-3 / about["scale"])
    with pytest.raises(FileExistsError):
        audition.export(tmp_path / "new", waves, {})


def test_runs_are_titled(runs):
    titles = titled_runs(runs["jt"].folder.parents[2])
    assert list(titles) == [
        "BN, α = 0.5, seed 0 · tiny",
        "Classifier, clean, seed 0 · tiny",
        "JT, α = 0.5, seed 0 · tiny",
    ]
    assert titles["JT, α = 0.5, seed 0 · tiny"] == runs["jt"].folder
