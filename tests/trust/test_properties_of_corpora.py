"""What must hold for every corpus, gain, length and SNR, searched by hypothesis; each run tries the same examples."""

import contextlib
import csv
import io
import math
import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jointlib import COLUMNS
from jointlib.corpora.audio import CONTAINERS, read_audio, resample
from jointlib.corpora.contaminate import LEVEL_DB, MIXERS, PEAK, mix
from jointlib.corpora.corpus import _read_split, _table_problems, read_all
from jointlib.corpora.packed import PackedAudio

pytestmark = pytest.mark.trust
searched = settings(deadline=None, derandomize=True, max_examples=100, database=None)

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
@given(mixtures(), st.sampled_from(sorted(MIXERS)))
def test_the_realised_snr_is_the_one_asked_for(mixture_of, mixer):
    """The copied version of MS-SNSD's script halves it, in dB."""
    speech, noise, lengths, wanted = mixture_of
    mixture = mix(speech, noise, lengths, wanted, mixer)
    inside = torch.arange(speech.shape[1]) < lengths[:, None]
    expected = wanted.numpy() * {"exact": 1.0, "ms_snsd": 0.5}[mixer]
    assert snr_db(mixture.clean, noise * inside * mixture.noise_gain[:, None]) == pytest.approx(expected, abs=0.01)
    assert mixture.realised_snr_db.numpy() == pytest.approx(expected, abs=0.01)


@searched
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


def encoded() -> dict[tuple[str, str], bytes]:
    """Half a second of a tone in everything that is read and that libsndfile can write as well as read."""
    tone, found = 0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16_000), {}
    for container in CONTAINERS:
        for coding in soundfile.available_subtypes(container):
            with contextlib.suppress(soundfile.SoundFileError):
                soundfile.write(file := io.BytesIO(), tone, 16_000, coding, format=container)
                soundfile.SoundFile(io.BytesIO(file.getvalue())).read(8000)
                found[container, coding] = file.getvalue()
    return found


ENCODED = encoded()


@searched
@given(st.sampled_from(sorted(ENCODED)), st.floats(0, 1, exclude_max=True))
def test_a_cut_is_told_in_every_container(kind, part):
    """Anywhere, except for the last bytes: 128 in general, a hundredth of the samples of an MP3."""
    content = ENCODED[kind]
    assert len(read_audio(io.BytesIO(content))[0]) >= 8000
    kept = math.floor(part * (len(content) * 0.95 if kind[0] == "MP3" else len(content) - 128))
    with pytest.raises(ValueError, match=r"ends early|not readable as audio|holds no samples"):
        read_audio(io.BytesIO(content[:kept]))


@searched
@given(
    st.sampled_from(sorted(ENCODED)),
    st.lists(st.tuples(st.integers(0, 200), st.binary(min_size=1, max_size=8)), min_size=1, max_size=3),
)
def test_no_header_breaks_the_reader(kind, changes):
    """Whatever its numbers become: a wave of bearable length and loudness, or a line."""
    content = bytearray(ENCODED[kind])
    for place, new in changes:
        content[place : place + len(new)] = new
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "a.wav")
        file.write_bytes(content)
        try:
            wave, sample_rate = read_audio(file)
        except ValueError as error:
            assert "\n" not in str(error)
            return
    assert wave.isfinite().all() and 0 < len(wave) <= 100 * 8000 and 1000 <= sample_rate <= 1_000_000


# Text as a CSV may hold it: no surrogates (UTF-8 has none), no zero bytes, no line breaks.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=20)
NUMBERS_AND_NOTHINGS = st.sampled_from(
    ["007", "1e1", "1_000", "-0", "inf", "NaN", "NA", "null", "None", "TRUE", "#N/A"]
)
NAMES = NUMBERS_AND_NOTHINGS | TEXTS.map(str.strip).filter(bool)
FILES = st.from_regex(r"x[a-z0-9]{0,8}", fullmatch=True)


@searched
@given(st.lists(st.tuples(FILES, NAMES, TEXTS, NAMES, NAMES, NAMES), min_size=1, max_size=5), st.booleans())
def test_a_csv_is_read_as_it_was_written(rows, marked):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "corpus/data/train_data.csv")
        file.parent.mkdir(parents=True)
        with file.open("w", newline="", encoding="utf-8-sig" if marked else "utf-8") as stream:
            csv.writer(stream).writerows([COLUMNS, *rows])
        for path, *_ in rows:
            Path(folder, "corpus", path).touch()
        corpus, problems = read_all(Path(folder, "corpus"))
    names = ["path", "speaker", "transcription", "action", "object", "location"]
    assert [tuple(row) for row in corpus.manifest[names].itertuples(index=False)] == rows
    found = [line for line in problems if line.startswith("data/train_data.csv")]  # empty files, one intent perhaps
    again = len(rows) - len({path for path, *_ in rows})
    assert sum("the same path as an earlier row" in line for line in found) == again
    assert sum("not readable as audio" in line for line in found) == len(rows) >= len(found) - again - 1
    places = [f"data/train_data.csv, row {number}: {row[0]}" for number, row in enumerate(rows, start=2)]
    assert corpus.manifest.place.tolist() == places


@searched
@given(
    st.lists(st.tuples(FILES, NAMES, TEXTS, NAMES, NAMES, NAMES), min_size=1, max_size=5),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=3),
)
def test_stray_quotes_swallow_nothing_in_silence(rows, places):
    """Quotes anywhere in a CSV: its row is named, or all the text is still there, in the same fields."""
    csv.writer(stream := io.StringIO(newline="")).writerows([COLUMNS, *rows])
    text = stream.getvalue()
    for place in places:
        text = text[: place % len(text)] + '"' + text[place % len(text) :]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "data/train_data.csv")
        file.parent.mkdir()
        file.write_bytes(text.encode())
        try:
            table = _read_split(Path(folder), "train")
        except ValueError as error:
            assert re.match(r"row \d+|lacks \['", str(error)), error
            return
    names = ["path", "speaker", "transcription", "action", "object", "location"]
    unquoted = [[field.replace('"', "") for field in row] for row in rows]
    assert [[field.replace('"', "") for field in row] for row in table[names].to_numpy().tolist()] == unquoted


INTENTS = st.tuples(*[st.text("a /", min_size=1, max_size=5).map(str.strip).filter(bool)] * 3)


@searched
@given(st.lists(INTENTS, min_size=2, max_size=6, unique=True))
@example([("a / b", "c", "d"), ("a", "b / c", "d")])
def test_different_intents_have_different_names_or_are_named(triples):
    table = pd.DataFrame(triples, columns=["action", "object", "location"], dtype=str)
    table = table.assign(path="x", speaker="ann", split="train", place=[f"row {row}" for row in range(len(table))])
    table["intent"] = table.action + " / " + table.object + " / " + table.location
    found = [line for line in _table_problems(table, sorted(table.intent.unique())) if "is also that of" in line]
    assert bool(found) == (table.intent.nunique() < len(table))


@searched
@given(st.binary(max_size=300), st.booleans())
@example(b"path,path\n1,2\n", False)
@example(b'"unclosed', False)
@example(b"\n", True)
def test_no_bytes_break_the_reader(content, headed):
    """Whatever is in the file, every problem names it, and where there is no audio nothing is read."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "corpus/data/train_data.csv")
        file.parent.mkdir(parents=True)
        file.write_bytes((",".join(COLUMNS).encode() + b"\n" if headed else b"") + content)
        corpus, problems = read_all(Path(folder, "corpus"))
    assert corpus.manifest.empty
    assert any(line.startswith("data/train_data.csv") for line in problems)
    assert all(line.startswith(("data/", "speaker ")) for line in problems)
