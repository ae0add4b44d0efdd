"""What must hold for every gain, length and SNR, searched by hypothesis; each run tries the same examples."""

import csv
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from jointlib import COLUMNS
from jointlib.corpora.audio import resample
from jointlib.corpora.contaminate import LEVEL_DB, PEAK, mix
from jointlib.corpora.corpus import _read_split, _unusable_paths
from jointlib.fast_cpu.layers import BatchNormLeakyReLU
from jointlib.corpora.packed import PackedAudio
from jointlib.runs.run import Run
from jointlib.strategies import STRATEGIES, JointOutput
from jointlib.waveunet import WaveUNet

EXAMPLES = 100
searched = settings(deadline=None, derandomize=True, max_examples=EXAMPLES, database=None)

SEEDS = st.integers(0, 2**31 - 1)
GAINS_DB = st.floats(-30, 20)  # two of them on a click of 0.1 leave three steps of 16 bits
SNRS_DB = st.floats(-20, 60)
LENGTHS = st.integers(1, 3000)
KINDS = st.sampled_from(["noise", "click"])


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
    lengths = draw(st.lists(LENGTHS, min_size=1, max_size=4))
    samples = max(lengths) + draw(st.integers(0, 50))
    wanted = draw(st.lists(SNRS_DB, min_size=len(lengths), max_size=len(lengths)))
    speech, noise = (
        waves(draw(SEEDS), lengths, samples, draw(KINDS)) * 10 ** (draw(GAINS_DB) / 20) for _ in ("speech", "noise")
    )
    noise[:, min(lengths) :] += 1e-3  # recordings go on where an utterance ends
    return speech, noise, torch.tensor(lengths), torch.tensor(wanted, dtype=torch.float32)


@searched
@given(mixtures())
def test_the_realised_snr_is_the_one_asked_for(mixture_of):
    speech, noise, lengths, wanted = mixture_of
    mixture = mix(speech, noise, lengths, wanted)
    inside = torch.arange(speech.shape[1]) < lengths[:, None]
    added = noise * inside * mixture.noise_gain[:, None]
    assert snr_db(mixture.clean, added) == pytest.approx(wanted.numpy(), abs=0.01)
    assert mixture.realised_snr_db.numpy() == pytest.approx(wanted.numpy(), abs=0.01)


@searched
@given(mixtures())
def test_a_mixture_is_the_sum_of_its_parts_and_never_clips(mixture_of):
    speech, noise, lengths, wanted = mixture_of
    mixture = mix(speech, noise, lengths, wanted)
    inside = torch.arange(speech.shape[1]) < lengths[:, None]
    torch.testing.assert_close(mixture.clean, speech * mixture.speech_gain[:, None])
    torch.testing.assert_close(mixture.noisy, mixture.clean + noise * inside * mixture.noise_gain[:, None])
    assert mixture.noisy.abs().max() <= PEAK + 1e-6
    assert not mixture.noisy[~inside].any() and not mixture.clean[~inside].any()
    level = 10 * np.log10((mixture.clean.double() ** 2).sum(dim=1).numpy() / lengths.numpy())
    assert (level <= LEVEL_DB + 1e-4).all()
    unclipped = mixture.noisy.abs().amax(dim=1).numpy() < PEAK - 1e-6
    assert level[unclipped] == pytest.approx(LEVEL_DB, abs=1e-4)


@searched
@given(mixtures(), GAINS_DB, GAINS_DB)
def test_gains_of_speech_and_noise_change_nothing(mixture_of, speech_db, noise_db):
    speech, noise, lengths, wanted = mixture_of
    first = mix(speech, noise, lengths, wanted)
    scaled = mix(speech * 10 ** (speech_db / 20), noise * 10 ** (noise_db / 20), lengths, wanted)
    torch.testing.assert_close(scaled.clean, first.clean, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(scaled.noisy, first.noisy, atol=1e-5, rtol=1e-4)


@searched
@given(mixtures())
def test_a_batch_is_mixed_as_its_utterances_are(mixture_of):
    speech, noise, lengths, wanted = mixture_of
    together = mix(speech, noise, lengths, wanted)
    for row, length in enumerate(lengths.tolist()):
        own = slice(row, row + 1)
        alone = mix(speech[own, :length], noise[own, :length], lengths[own], wanted[own])
        torch.testing.assert_close(together.noisy[own, :length], alone.noisy, atol=1e-6, rtol=1e-4)


def test_the_quietest_sound_of_16_bits_is_mixed_and_silence_stays_silent():
    """One step, once in 4 s: -138 dBFS. Below -160 dBFS `mix` takes a wave for silence."""
    click = torch.zeros(1, 64_000)
    click[0, 100] = 1 / 32768
    noise, lengths, wanted = waves(0, [64_000], 64_000), torch.tensor([64_000]), torch.tensor([10.0])
    for speech, added in ((click, noise), (noise, click)):
        mixture = mix(speech, added, lengths, wanted)
        assert snr_db(mixture.clean, added * mixture.noise_gain[:, None]) == pytest.approx(10, abs=0.01)
    silent = mix(torch.zeros_like(noise), torch.zeros_like(noise), lengths, wanted)
    assert not silent.noisy.any() and silent.realised_snr_db.isfinite().all()


def trained_alike(model: nn.Module, seed: int) -> nn.Module:
    """In eval mode, with statistics and biases such as training leaves, so that nothing is zero by chance."""
    generator = torch.Generator().manual_seed(seed)
    for part in model.modules():
        if isinstance(part, BatchNormLeakyReLU):
            part.running_mean.normal_(generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.normal_(part.bias, generator=generator)
    return model.eval()


@searched
@given(st.integers(1, 300), st.integers(1, 4), st.integers(1, 6), st.integers(0, 3), SEEDS)
@torch.inference_mode()
def test_a_front_end_takes_any_length_and_a_batch_is_its_utterances(length, batch, layers, chunks, seed):
    """chunks: 0 reads the whole wave at once, else so many strides at a time."""
    torch.manual_seed(seed)
    model = trained_alike(WaveUNet(layers, channels=2, chunk=chunks * 2**layers or None), seed)
    wave = torch.randn(batch, 1, length)
    enhanced, bottleneck = model(wave)
    unit = model.chunk or model.stride
    frames = math.ceil(length / unit) * unit // model.stride
    assert enhanced.shape == wave.shape
    assert bottleneck.shape == (batch, model.bottleneck_channels, frames)
    alone = [model(one) for one in wave.split(1)]
    torch.testing.assert_close(enhanced, torch.cat([one[0] for one in alone]), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(bottleneck, torch.cat([one[1] for one in alone]), atol=1e-5, rtol=1e-4)


@searched
@given(st.integers(1, 300), st.integers(1, 5), SEEDS)
@torch.inference_mode()
def test_zeros_up_to_the_stride_change_nothing(length, layers, seed):
    torch.manual_seed(seed)
    model = trained_alike(WaveUNet(layers, channels=2), seed)
    wave = torch.randn(1, 1, length)
    padded = nn.functional.pad(wave, (0, -length % model.stride))
    for short, long in zip(model(wave), model(padded), strict=True):
        torch.testing.assert_close(short, long[..., : short.shape[-1]])


class Untouched(nn.Module):
    """A front-end that returns its input."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))  # it tells the device

    def forward(self, wave: torch.Tensor) -> JointOutput:
        return JointOutput(wave, None)


BACKEND = {"classes": 3, "channels": 4, "hidden": 4, "repeats": 1, "blocks": 2, "stem": (40, 16, 4)}


@searched
@given(st.sampled_from(sorted(STRATEGIES)), st.integers(1, 300), st.integers(1, 3), SEEDS)
@torch.inference_mode()
def test_every_strategy_takes_any_length_and_a_batch_is_its_utterances(strategy, length, batch, seed):
    torch.manual_seed(seed)
    network = STRATEGIES[strategy].network(frontend={"layers": 4, "channels": 2}, backend=BACKEND, mix_channels=2)
    model, wave = trained_alike(network, seed), torch.randn(batch, 1, length)
    output, alone = model(wave), [model(one) for one in wave.split(1)]
    if output.enhanced is not None:
        assert output.enhanced.shape == wave.shape
    if output.logits is not None:
        assert output.logits.shape == (batch, 3)
    for together, apart in zip(output, zip(*alone, strict=True), strict=True):
        if together is not None:
            assert together.isfinite().all()
            torch.testing.assert_close(together, torch.cat(apart), atol=1e-4, rtol=1e-3)


@st.composite
def packs(draw):
    """Packed files of random 16-bit samples, the same as a list of arrays, and some of their indices."""
    lengths = draw(st.lists(st.integers(1, 60), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(SEEDS))
    files = [rng.integers(-32768, 32768, size=length, dtype=np.int16) for length in lengths]
    ends = torch.tensor(lengths).cumsum(0)
    samples = torch.from_numpy(np.concatenate(files))
    packed = PackedAudio(samples, ends - torch.tensor(lengths), torch.tensor(lengths), [""] * len(files))
    return packed, files, draw(st.lists(st.integers(0, len(files) - 1), min_size=1, max_size=5))


@searched
@given(packs(), st.integers(1, 150))
def test_clips_are_what_a_loop_over_samples_gives(pack, length):
    packed, files, chosen = pack
    expected = np.zeros((len(chosen), length))
    for row, index in enumerate(chosen):
        for sample in range(min(length, len(files[index]))):
            expected[row, sample] = files[index][sample] / 32768
    clips, lengths = packed.clips(torch.tensor(chosen), length)
    np.testing.assert_array_equal(clips.numpy(), expected)
    assert lengths.tolist() == [min(length, len(files[index])) for index in chosen]
    for index, file in enumerate(files):
        np.testing.assert_array_equal(packed.wave(index).numpy(), file / 32768)


@searched
@given(packs(), st.integers(1, 150), st.data())
def test_loops_are_what_a_loop_over_samples_gives(pack, length, data):
    packed, files, chosen = pack
    offsets = data.draw(st.lists(st.integers(0, 200), min_size=len(chosen), max_size=len(chosen)))
    expected = np.empty((len(chosen), length))
    for row, (index, offset) in enumerate(zip(chosen, offsets, strict=True)):
        for sample in range(length):
            expected[row, sample] = files[index][(offset + sample) % len(files[index])] / 32768
    looped = packed.loops(torch.tensor(chosen), torch.tensor(offsets), length)
    np.testing.assert_array_equal(looped.numpy(), expected)


@searched
@given(st.integers(4000, 200_000), st.integers(1, 5000), SEEDS)
@example(44_099, 1, 0)  # by FFT
def test_resampling_gives_the_length_of_the_new_rate(sample_rate, length, seed):
    """Any rate, also those without a common divisor with 16,000; a batch is its waves."""
    batch = waves(seed, [length, length], length)
    resampled = resample(batch, sample_rate)
    assert resampled.dtype == torch.float32 and resampled.isfinite().all()
    assert resampled.shape == (2, math.ceil(length * 16_000 / sample_rate))
    torch.testing.assert_close(resampled[0], resample(batch[0], sample_rate))


@searched
@given(st.sampled_from([8000, 11_025, 16_000, 44_099, 44_100, 48_000]), st.integers(1, 5000), st.floats(0, 6))
def test_a_run_gives_a_wave_back_at_its_rate_length_and_level(sample_rate, length, phase):
    """The front-end's output is its input here, so that nothing but resampling, levels and padding is left."""
    run = Run(Path(), {"clip_seconds": 0.1}, [], Untouched())
    wave = 0.01 * torch.sin(2 * torch.pi * 500 * torch.arange(length) / sample_rate + phase)
    enhanced, _ = run.process(wave, sample_rate)
    assert enhanced.shape == wave.shape
    inner = slice(sample_rate // 50, -sample_rate // 50)  # 20 ms at the edges are the filter's
    torch.testing.assert_close(enhanced[inner], wave[inner], atol=1e-5, rtol=0)


# Text as a CSV may hold it: no surrogates (UTF-8 has none), no zero bytes; a carriage return only with a line feed.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=20)
NAMES = TEXTS.filter(lambda text: text.strip())


@searched
@given(st.lists(st.tuples(NAMES, NAMES, TEXTS, NAMES, NAMES, NAMES), min_size=1, max_size=5), st.booleans())
def test_a_csv_is_read_as_it_was_written(rows, marked):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "data", "train_data.csv")
        file.parent.mkdir()
        with file.open("w", newline="", encoding="utf-8-sig" if marked else "utf-8") as stream:
            csv.writer(stream).writerows([COLUMNS, *rows])
        table, problems = _read_split(Path(folder), "train")
    assert problems == []
    names = ["path", "speaker", "transcription", "action", "object", "location"]
    assert [tuple(row) for row in table[names].itertuples(index=False)] == rows
    assert list(table.row) == list(range(2, len(rows) + 2))


@searched
@given(st.binary(max_size=300), st.booleans())
@example(b"path,path\n1,2\n", False)
@example(b'"unclosed', False)
@example(b"\n", True)
def test_no_bytes_break_the_csv_reader(content, headed):
    """Whatever is in the file, it is a table or a list of problems."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "data", "train_data.csv")
        file.parent.mkdir()
        file.write_bytes((",".join(COLUMNS).encode() + b"\n" if headed else b"") + content)
        table, problems = _read_split(Path(folder), "train")
        unusable = _unusable_paths(Path(folder), table.path)
    assert all(str(file) in line or line.startswith("data/train_data.csv, row ") for line in problems)
    assert (unusable != "").all() and (len(table) or problems)  # there is no audio
