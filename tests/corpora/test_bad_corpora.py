"""Bad corpora, a row each: what is spoilt, and what is said of it; and odd ones, which are read like any other."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile

from jointlib.corpora.corpus import Corpus, CorpusError, Noises
from jointlib.corpora.doctor import examine

FIRST = "wavs/speakers/ann/0.wav"  # row 2 of train_data.csv
TONE = 0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16_000)
HISS = 0.3 * np.hanning(48_000) * np.sin(2 * np.pi * 15_000 * np.arange(48_000) / 48_000)  # nothing of it at 16 kHz


def sound(wave=TONE, sample_rate=16_000, path=FIRST, **options):
    """Write a waveform in a file's place."""
    return lambda root: soundfile.write(root / path, wave, sample_rate, **options)


def content(change, path=FIRST):
    """Change the bytes of a file."""
    return lambda root: (root / path).write_bytes(change((root / path).read_bytes()))


def text(change, split="train"):
    """Change the bytes of a split's CSV."""
    return content(change, f"data/{split}_data.csv")


def swap(old, new, count=-1):
    """Replace bytes of train's CSV."""
    return text(lambda csv: csv.replace(old, new, count))


def rows(change, split="train"):
    """Change the table of a split."""

    def spoil(root):
        file = root / f"data/{split}_data.csv"
        change(pd.read_csv(file, index_col=0, keep_default_na=False, dtype=str)).to_csv(file)

    return spoil


def cell(name, value, split="train"):
    """Put a value into the first row of a split."""
    return rows(lambda table: table.assign(**{name: [value, *table[name][1:]]}), split)


def both(*spoils):
    """Spoil several things, one after the other."""
    return lambda root: [spoil(root) for spoil in spoils]


def cut(**options):
    """Write a tone in some format, and keep the first half of the file."""
    return both(sound(np.tile(TONE, 4), **options), content(lambda all_of_it: all_of_it[: len(all_of_it) // 2]))


def header(*numbers):
    """Change numbers, each (place, value, size in bytes), of a WAV's header."""

    def change(file):
        for place, value, size in numbers:
            file = file[:place] + value.to_bytes(size, "little") + file[place + size :]
        return file

    return both(sound(), content(change))


def linked(root):
    shutil.move(root / "wavs/speakers/ann", root.parent / "ann")
    (root / "wavs/speakers/ann").symlink_to(root.parent / "ann")


def folder_for_a_file(root):
    (root / FIRST).unlink()
    (root / FIRST).mkdir()


NAMED = "data/train_data.csv, row 2"
ERRORS = {
    "cut wav": (cut(), f"{NAMED}: {FIRST}: ends early, after 32022 of 64044 bytes; copy it again"),
    "cut flac": (cut(format="FLAC"), "not readable as audio"),
    "cut mp3": (cut(format="MP3"), "ends early"),
    "2 GHz": (header((24, 2**31 - 1, 4)), f"{NAMED}: {FIRST}: "),
    "no header": (
        both(cell("path", "wavs/a.raw"), lambda root: (root / "wavs/a.raw").write_bytes(bytes(99))),
        "a.raw: not",
    ),
    "integers as floats": (sound(32_767 * TONE, subtype="FLOAT"), "or beyond 100 times full scale"),
    "NaN": (sound(np.append(TONE, np.nan), subtype="FLOAT"), f"{FIRST}: holds samples that are not finite"),
    "sound above 8 kHz only": (sound(HISS, 48_000), f"{NAMED}: {FIRST}: silent throughout"),
    "silence": (sound(np.zeros(8000)), f"{NAMED}: {FIRST}: silent throughout, so that no SNR can be set"),
    "empty file": (content(lambda _: b""), f"{NAMED}: {FIRST}: not readable as audio"),
    "no samples": (sound(np.zeros(0)), f"{NAMED}: {FIRST}: holds no samples"),
    "a millisecond": (sound(TONE[:16]), f"{NAMED}: {FIRST}: shorter than 0.1 s, so that a noise need not"),
    "a folder for a file": (folder_for_a_file, f"{NAMED}: {FIRST}: this path names no file"),
    "no such file": (cell("path", "wavs/x.wav"), f"{NAMED}: wavs/x.wav: this path names no file"),
    "a path out": (cell("path", "../../etc/passwd"), f"{NAMED}: ../../etc/passwd: this path names no"),
    "an absolute path": (cell("path", "/etc/passwd"), f"{NAMED}: /etc/passwd: this path names no"),
    "a path with a zero byte": (swap(b"ann/0.wav", b"a\0.wav"), r"wavs/speakers/a\x00.wav: this path names no file"),
    "an empty path": (cell("path", ""), f"{NAMED}: : path '' is empty"),
    "an empty speaker": (cell("speakerId", ""), f"{NAMED}: {FIRST}: speaker '' is empty"),
    "a blank line before a bad row": (
        both(cell("path", "wavs/x.wav"), swap(b"\n", b"\n\n", 1)),
        "data/train_data.csv, row 3: wavs/x.wav: this path",
    ),
    "an intent only in test": (cell("object", "hat", "test"), "dan/0.wav: intent 'activate / hat / none' is not in"),
    "a row twice": (rows(lambda table: pd.concat([table, table[:1]])), f"row 14: {FIRST}: the same path as"),
    "a missing column": (rows(lambda table: table.drop(columns="object")), "lacks ['object']"),
    "rows longer than the header": (swap(b"none\n", b"none,x\n"), "Expected 7 fields in line 2, saw 8"),
    "a row of too few fields": (swap(b",none\n", b"\n", 1), f"{NAMED}: {FIRST}: location '' is empty"),
    "a missing CSV": (lambda root: (root / "data/valid_data.csv").unlink(), "valid_data.csv: missing"),
    "an empty CSV": (text(lambda _: b""), "train_data.csv: missing, or not readable"),
    "an empty split": (text(lambda csv: csv.splitlines(keepends=True)[0], "valid"), "lacks rows"),
    "a line break": (cell("transcription", "turn it\non"), "train_data.csv: row 2: a field goes on in the next"),
    "a quote without end": (text(lambda csv: csv[:-5] + b'"none\n'), "EOF inside string starting below line "),
    "a blank after a speaker": (cell("speakerId", "ann "), f"{NAMED}: {FIRST}: speaker 'ann ' is empty, or begins"),
    "a blank before an object": (cell("object", "\u00a0lamp"), "object '\\xa0lamp' is empty, or begins or ends"),
    "latin-1": (swap(b"switch", b"k\xfcche"), "not readable as UTF-8 CSV"),
}
WARNINGS = {
    "clipped": (sound(np.clip(4 * TONE, -1, 1)), f"{NAMED}: {FIRST}: 37.5% of the samples are clipped"),
    "very quiet": (sound(1e-3 * TONE, subtype="FLOAT"), "very quiet, -73 dBFS"),
    "an eighth of a second": (sound(TONE[:2000]), "only 0.12 s long"),
    "a recording twice": (
        lambda root: shutil.copy(root / FIRST, root / "wavs/speakers/bob/0.wav"),
        f"bob/0.wav: the same recording as {NAMED}: {FIRST}",
    ),
}
FINE = {
    "stereo": sound(np.stack([TONE, TONE], axis=1)),
    "44.1 kHz": sound(np.tile(TONE, 3), 44_100),
    "mp3": both(sound(np.tile(TONE, 4), path="wavs/a.mp3", format="MP3"), cell("path", "wavs/a.mp3")),
    "flac named wav": sound(format="FLAC"),
    "a wav from sox's pipe": header((4, 0x7FFFF024, 4), (40, 0x7FFFF000, 4)),
    "a wav from ffmpeg's pipe": header((4, 0xFFFFFFFF, 4), (40, 0xFFFFFFFF, 4)),
    "a linked folder": linked,
    "blank lines": swap(b"\n", b"\n\n", 3),
    "an extra column": rows(lambda table: table.assign(age=30)),
    "other order of columns": rows(lambda table: table[table.columns[::-1]]),
    "an inch": swap(b'"switch it, please"', b'switch 5" on', 1),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_named(name, corpus_root):
    spoil, message = ERRORS[name]
    spoil(corpus_root)
    with pytest.raises(CorpusError) as caught:
        Corpus.read(corpus_root)
    assert any(message in line for line in caught.value.problems), caught.value


def test_every_error_is_listed_at_once(corpus_root):
    chosen = [ERRORS[name] for name in ("no samples", "a missing CSV", "an intent only in test")]
    both(*(spoil for spoil, _ in chosen))(corpus_root)
    with pytest.raises(CorpusError, match="3 problem") as caught:
        Corpus.read(corpus_root)
    assert all(message in str(caught.value) for _, message in chosen)


@pytest.mark.parametrize("name", WARNINGS)
def test_an_oddity_is_named(name, corpus_root):
    spoil, message = WARNINGS[name]
    spoil(corpus_root)
    (diagnosis,) = examine(corpus_root)
    assert not diagnosis.errors and any(message in line for line in diagnosis.warnings), str(diagnosis)


@pytest.mark.parametrize("name", FINE)
def test_what_is_merely_different_is_read(name, corpus_root):
    FINE[name](corpus_root)
    corpus = Corpus.read(corpus_root)
    assert len(corpus.manifest) == 30
    assert corpus.audio.sources.rms[0] == pytest.approx(0.3 / 2**0.5, rel=0.02)


NOISES = {  # the last: whether it is an error, and no warning
    "no number": (sound(path="noise_train/Hum.wav"), "Hum.wav: not read; a noise is noise_train/Typing_1", False),
    "no type": (sound(path="noise_train/_1.wav"), "_1.wav: not read; a noise is", False),
    **{
        name: (lambda root, name=name: (root / "noise_train" / name).touch(), f"{name}: not read; a noise", False)
        for name in ("._Typing_1.wav", ".DS_Store", "Thumbs.db", "README_en.md", "Typing_1.txt")
    },
    "clipped": (sound(np.sign(TONE), path="noise_train/Hum_1.wav"), "% of the samples are clipped", False),
    "a file twice": (
        lambda root: shutil.copy(root / "noise_train/Typing_1.wav", root / "noise_train/Typing_9.wav"),
        "Typing_9.wav: the same recording as",
        False,
    ),
    "silent": (sound(np.zeros(8000), path="noise_train/Hum_1.wav"), "Hum_1.wav: silent throughout", True),
    "not audio": (lambda root: (root / "noise_test/Hum_1.wav").write_text("x"), "Hum_1.wav: not readable", True),
    "missing folder": (lambda root: shutil.rmtree(root / "noise_test"), "noise_test: missing or", True),
}


@pytest.mark.parametrize("name", NOISES)
def test_noises(name, noise_root):
    spoil, message, is_error = NOISES[name]
    spoil(noise_root)
    (diagnosis,) = examine(noise_root)
    assert any(message in line for line in (diagnosis.errors if is_error else diagnosis.warnings)), str(diagnosis)
    assert bool(diagnosis.errors) == is_error
    if not is_error:
        assert len(Noises.read(noise_root / "noise_train").manifest) >= 3


def test_a_folder_that_is_neither(tmp_path):
    with pytest.raises(CorpusError, match="holds neither"):
        examine(tmp_path)
    with pytest.raises(CorpusError, match=r"train_data.csv: missing"):
        Corpus.read(tmp_path / "nowhere")
