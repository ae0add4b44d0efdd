"""Mixing: realised SNRs, sums and gains for every length and level; plans."""

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from jointlib.config import load_config
from jointlib.corpora.batches import load_data
from jointlib.corpora.contaminate import LEVEL_DB, MIXERS, PEAK, draw_plan, mix
from jointlib.corpora.corpus import Corpus, CorpusError, Noises

SEEDS = st.integers(0, 2**31 - 1)
GAINS_DB = st.floats(-30, 20)  # two of them on a click of 0.1 leave three steps of 16 bits


def waves(seed: int, lengths: list[int], samples: int, kind: str = "noise") -> torch.Tensor:
    """Noise, or a single click, of given lengths, zero-padded: float32 (B, samples)."""
    rng = np.random.default_rng(seed)
    time, ends = np.arange(samples), np.array(lengths)[:, None]
    if kind == "click":
        values = 0.1 * (time == rng.integers(0, ends))
    else:
        values = rng.normal(scale=0.1, size=(len(lengths), samples)) * (time < ends)
    return torch.tensor(values, dtype=torch.float32)


def snr_db(clean: torch.Tensor, added: torch.Tensor) -> np.ndarray:
    """SNR (B,) of two batches (B, T), in float64."""
    clean, added = clean.double().numpy(), added.double().numpy()
    return 10 * np.log10((clean**2).sum(axis=1) / (added**2).sum(axis=1))


@st.composite
def mixtures(draw):
    """speech (B, T), noise (B, T), true lengths (B,), SNRs (B,)."""
    lengths = draw(st.lists(st.integers(1, 3000), min_size=1, max_size=4))
    samples = max(lengths) + draw(st.integers(0, 50))
    wanted = draw(st.lists(st.floats(-20, 60), min_size=len(lengths), max_size=len(lengths)))
    kinds = st.sampled_from(["noise", "click"])
    speech, noise = (waves(draw(SEEDS), lengths, samples, draw(kinds)) * 10 ** (draw(GAINS_DB) / 20) for _ in range(2))
    noise[:, min(lengths) :] += 1e-3  # recordings go on where an utterance ends
    return speech, noise, torch.tensor(lengths), torch.tensor(wanted, dtype=torch.float32)


@given(mixtures(), st.sampled_from(sorted(MIXERS)))
def test_the_realised_snr_is_the_one_asked_for(mixture_of, mixer):
    """The copied version of MS-SNSD's script halves it, in dB."""
    speech, noise, lengths, wanted = mixture_of
    mixture = mix(speech, noise, lengths, wanted, mixer)
    inside = torch.arange(speech.shape[1]) < lengths[:, None]
    expected = wanted.numpy() * {"exact": 1.0, "ms_snsd": 0.5}[mixer]
    assert snr_db(mixture.clean, noise * inside * mixture.noise_gain[:, None]) == pytest.approx(expected, abs=0.01)
    assert mixture.realised_snr_db.numpy() == pytest.approx(expected, abs=0.01)


@given(mixtures())
def test_a_mixture_is_the_sum_of_its_parts_and_never_clips(mixture_of):
    speech, noise, lengths, wanted = mixture_of
    mixture = mix(speech, noise, lengths, wanted)
    inside = torch.arange(speech.shape[1]) < lengths[:, None]
    torch.testing.assert_close(mixture.clean, speech * mixture.speech_gain[:, None])
    torch.testing.assert_close(mixture.noisy, mixture.clean + noise * inside * mixture.noise_gain[:, None])
    assert not mixture.noisy[~inside].any() and not mixture.clean[~inside].any()
    peak = mixture.noisy.abs().amax(dim=1).numpy()
    level = 10 * np.log10((mixture.clean.double() ** 2).sum(dim=1).numpy() / lengths.numpy())
    assert (peak <= PEAK + 1e-6).all() and (level <= LEVEL_DB + 1e-4).all()
    assert level[peak < PEAK - 1e-6] == pytest.approx(LEVEL_DB, abs=1e-4)  # rescaled only where it would clip,
    assert peak[level < LEVEL_DB - 1e-3] == pytest.approx(PEAK, abs=1e-6)  # and no more than that


@given(mixtures(), GAINS_DB, GAINS_DB)
def test_gains_and_neighbours_in_the_batch_change_nothing(mixture_of, speech_db, noise_db):
    speech, noise, lengths, wanted = mixture_of
    first = mix(speech, noise, lengths, wanted)
    scaled = mix(speech * 10 ** (speech_db / 20), noise * 10 ** (noise_db / 20), lengths, wanted)
    torch.testing.assert_close(scaled.clean, first.clean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scaled.noisy, first.noisy, atol=1e-5, rtol=1e-4)
    for row, length in enumerate(lengths.tolist()):
        own = slice(row, row + 1)
        alone = mix(speech[own, :length], noise[own, :length], lengths[own], wanted[own])
        torch.testing.assert_close(first.noisy[own, :length], alone.noisy, atol=1e-6, rtol=1e-4)


def test_silence_stays_silent():
    silence = torch.zeros(1, 4000)
    mixture = mix(silence, silence, torch.tensor([4000]), torch.tensor([10.0]))
    assert not mixture.noisy.any() and mixture.realised_snr_db.isfinite().all()


@pytest.fixture
def drawn(corpus_root, noise_root):
    return Corpus.read(corpus_root), Noises.read(noise_root / "noise_train")


def test_plan_is_fixed_by_seed_split_and_number(drawn):
    corpus, noises = drawn
    first, again = (draw_plan(corpus, "train", noises, [0, 10], seed=3) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    for other in ({"seed": 4}, {"seed": 3, "number": 1}):
        assert not first.offset.equals(draw_plan(corpus, "train", noises, [0, 10], **other).offset)
    assert set(first.snr_db) == {0.0, 10.0}


def test_noise_begins_where_the_recording_sounds(corpus_root, noise_root):
    barks = np.zeros(32_000)
    barks[8000:9600] = 0.3 * np.random.default_rng(0).normal(size=1600)
    soundfile.write(noise_root / "noise_train" / "Dog_1.wav", barks, 16_000)
    plan = draw_plan(Corpus.read(corpus_root), "train", Noises.read(noise_root / "noise_train", ["Dog"]), [0.0])
    assert set(plan.offset) == {8000}


def test_plan_with_gains_rebuilds_the_mixture(profile):
    data = load_data(load_config(profile, snr_db=5))
    plan = data.plan("test")
    mixture, row = data.mix("test", plan), plan.iloc[2]
    assert mixture.realised_snr_db.numpy() == pytest.approx(5.0, abs=1e-3)
    speech, _ = data.corpus.audio.clips(torch.tensor([row.utterance]), 8000)
    noise = data.noises["test"].audio.loops(torch.tensor([row.noise]), torch.tensor([row.offset]), 8000)[0]
    rebuilt = speech[0] * mixture.speech_gain[2] + noise * mixture.noise_gain[2]
    torch.testing.assert_close(mixture.noisy[2], rebuilt, check_dtype=False)


def test_an_example_is_a_row_of_the_plan(profile):
    data = load_data(load_config(profile))
    plan = data.plan("test")
    row = int(plan.snr_db.argmin())
    clean, noisy, about = data.example()
    assert about.equals(plan.iloc[row])
    batch = next(data.batches("test", order=torch.tensor([row])))
    assert batch.paths == (about.path,)
    torch.testing.assert_close(noisy, batch.noisy[0, 0, : batch.lengths[0]])
    torch.testing.assert_close(clean, batch.clean[0, 0, : batch.lengths[0]])


@pytest.mark.parametrize("room_db", [-np.inf, -90, -74, -60])  # RMS, dBFS; the tone is at -13.5
def test_a_clip_without_speech_is_named(profile, corpus_root, room_db):
    """The first clip_seconds of an utterance are what is mixed; room tone is no speech, nor are clicks."""
    late = np.append(np.zeros(4000), 0.3 * np.sin(np.arange(4000)))
    late += np.random.default_rng(0).normal(scale=10 ** (room_db / 20), size=8000) + 0.01  # an offset, too
    late[[1000, 7990]] = 0.9
    soundfile.write(corpus_root / "wavs/speakers/dan/1.wav", late, 16_000)
    load_data(load_config(profile, clip_seconds=0.3))
    named = r"test_data.csv, row 3: .*dan/1.wav: silent for 0.25 s, so that a clip of 0.2"
    with pytest.raises(CorpusError, match=named):
        load_data(load_config(profile, clip_seconds=0.2))


@pytest.mark.parametrize("gain", [1, 0.001])
def test_quiet_speech_and_noise_20_db_below_it_are_heard(profile, corpus_root, gain):
    """A quiet beginning, 26 dB below what follows, in a room as quiet; the whole at -13 or -73 dBFS."""
    wave = 0.3 * np.sin(np.arange(8000)) * np.repeat([0.05, 1], 4000)
    wave += np.random.default_rng(0).normal(scale=0.1 * 0.3 / 2**0.5, size=8000)
    soundfile.write(corpus_root / "wavs/speakers/dan/1.wav", gain * wave, 16_000, subtype="FLOAT")
    load_data(load_config(profile, clip_seconds=0.2))
