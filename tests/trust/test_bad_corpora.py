"""Bad corpora, a row each: what is spoilt, and how it is handled. `fine` means that it is read like any other."""

import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from jointlib.corpora.corpus import Corpus, CorpusError
from jointlib.corpora.doctor import examine, main
from jointlib.corpora.noises import Noises

pytestmark = pytest.mark.trust
FIRST = "wavs/speakers/ann/0.wav"  # row 2 of train_data.csv
TONE = 0.3 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16_000)


def sound(wave=TONE, sample_rate=16_000, path=FIRST, **options):
    """Put a wave in a file's place."""
    return lambda root: soundfile.write(root / path, wave, sample_rate, **options)


def rows(split, change):
    """Change the table of a split."""

    def spoil(root):
        file = root / "data" / f"{split}_data.csv"
        table = pd.read_csv(file, index_col=0, keep_default_na=False, dtype=str)
        changed = change(table)
        (table if changed is None else changed).to_csv(file)

    return spoil


def cell(name, value, split="train"):
    """Put a value into the first row of a split."""
    return rows(split, lambda table: table.__setitem__(name, [value, *table[name][1:]]))


def text(change, split="train"):
    """Change the bytes of a split's CSV."""

    def spoil(root):
        file = root / "data" / f"{split}_data.csv"
        file.write_bytes(change(file.read_bytes()))

    return spoil


def cut_as(**options):
    """Write a tone in some format, and keep the first half of the file."""

    def spoil(root):
        sound(np.tile(TONE, 4), **options)(root)
        (root / FIRST).write_bytes((root / FIRST).read_bytes()[: (root / FIRST).stat().st_size // 2])

    return spoil


def link_out(root):
    soundfile.write(root.parent / "outside.wav", TONE, 16_000)
    (root / FIRST).unlink()
    (root / FIRST).symlink_to(root.parent / "outside.wav")


def link_out_folder(root):
    shutil.move(root / "wavs/speakers/ann", root.parent / "ann")
    (root / "wavs/speakers/ann").symlink_to(root.parent / "ann")


def folder_instead(root):
    (root / FIRST).unlink()
    (root / FIRST).mkdir()


def as_(path, content):
    """Let the first row name a file of such content."""

    def spoil(root):
        (root / path).write_bytes(content)
        cell("path", path)(root)

    return spoil


def as_mp3(root):
    soundfile.write(root / "wavs/a.mp3", np.tile(TONE, 4), 16_000, format="MP3")
    cell("path", "wavs/a.mp3")(root)


def twice(root):
    rows("train", lambda table: pd.concat([table, table[:1]]))(root)


def same_audio(root):
    shutil.copy(root / FIRST, root / "wavs/speakers/bob/0.wav")


def from_a_pipe(form_size, data_size):
    """As sox, ffmpeg and others write it where they cannot go back to the header."""

    def spoil(root):
        sound()(root)
        content = bytearray((root / FIRST).read_bytes())
        content[4:8], content[40:44] = form_size.to_bytes(4, "little"), data_size.to_bytes(4, "little")
        (root / FIRST).write_bytes(content)

    return spoil


def announces_terabytes(root):
    soundfile.write(root / FIRST, TONE, 16_000, format="FLAC")
    content = bytearray((root / FIRST).read_bytes())
    content[21] |= 0x0F  # the 36 bits of STREAMINFO that count samples
    content[22:26] = b"\xff" * 4
    (root / FIRST).write_bytes(content)


def blank_then_bad(root):
    cell("path", "wavs/x.wav")(root)
    text(lambda content: content.replace(b"\n", b"\n\n", 1))(root)


def colliding(root):
    """Action, object and location of two rows differ, and the intent that they form does not."""
    change = {"action": ["a / b", "a"], "object": ["c", "b / c"], "location": ["d", "d"]}
    rows("train", lambda table: table.assign(**{name: [*two, *table[name][2:]] for name, two in change.items()}))(root)


def only_one_intent(root):
    for split in ("train", "valid", "test"):
        rows(split, lambda table: table.assign(action="go", object="home", location="now"))(root)


def in_a_chunk(place, value, size=4, **options):
    """A tone with a number of its header changed: `place` counts from the chunk of that name."""

    def spoil(root):
        sound(**options)(root)
        content = bytearray((root / FIRST).read_bytes())
        name, offset = place
        start = content.index(name) + offset
        content[start : start + size] = value.to_bytes(size, "big" if content[:4] in (b"FORM", b"caff") else "little")
        (root / FIRST).write_bytes(content)

    return spoil


def only_at_high_rates(root):
    """All of it lies above 8 kHz: at 16 kHz, which is what is mixed, nothing is left."""
    wave = 0.3 * np.hanning(48_000) * np.sin(2 * np.pi * 15_000 * np.arange(48_000) / 48_000)
    soundfile.write(root / FIRST, wave, 48_000)


def swallows_rows(content):
    """A quote before the wording of row 3 and one behind that of row 6: one row with as many fields as the header."""
    lines = content.replace(b'"switch it, please"', b"switch").split(b"\n")
    lines[2], lines[5] = lines[2].replace(b"switch", b'"switch'), lines[5].replace(b"switch", b'switch"')
    return b"\n".join(lines)


def full_scale(root):
    wave = np.clip(4 * TONE, -1, 1)
    soundfile.write(root / FIRST, wave, 16_000)


NAMED = "data/train_data.csv, row 2"
CORPORA = {
    "cut wav": (cut_as(), "error", f"{NAMED}: {FIRST}: ends early, after"),
    "cut 24-bit wav": (cut_as(subtype="PCM_24"), "error", "ends early"),
    "cut aiff": (cut_as(format="AIFF"), "error", "ends early"),
    "cut flac": (cut_as(format="FLAC"), "error", "not readable as audio"),
    "cut mp3": (cut_as(format="MP3"), "error", "ends early"),
    "cut ogg": (cut_as(format="OGG"), "error", "not readable as audio"),
    "a wav whose data are said to be longer": (
        in_a_chunk((b"data", 4), 10**9),
        "error",
        f"{NAMED}: {FIRST}: ends early, after 16044 of 1000000044 bytes",
    ),
    "an aiff whose samples are said to be more": (
        in_a_chunk((b"COMM", 10), 10**8, format="AIFF"),
        "error",
        "ends early, after 8000 of 100000000 samples",
    ),
    "1 Hz": (in_a_chunk((b"fmt ", 12), 1), "error", f"{NAMED}: {FIRST}: has 1 samples a second; expected 1000 to"),
    "2 GHz": (in_a_chunk((b"fmt ", 12), 2 * 10**9), "error", "has 2000000000 samples a second; expected 1000 to"),
    "65,535 channels": (in_a_chunk((b"fmt ", 10), 65_535, 2), "error", "not readable as audio"),
    "no channels": (in_a_chunk((b"fmt ", 10), 0, 2), "error", "not readable as audio"),
    "10^9 samples": (in_a_chunk((b"ds64", 24), 10**9, 8, format="RF64"), "error", "announces 1000000000 samples of 1"),
    "a container that tells no end": (sound(format="IRCAM"), "error", "in IRCAM, of which a cut would not be seen"),
    "a matrix": (sound(format="MAT5"), "error", "in MAT5, of which a cut would not be seen; convert it to wav or flac"),
    "no header": (as_("wavs/a.raw", bytes(16_000)), "error", "wavs/a.raw: not readable as audio"),
    "text that is named as headerless audio": (
        as_("wavs/a.au", b"hello" * 999),
        "error",
        "wavs/a.au: in RAW, of which",
    ),
    "samples of 1e30": (sound(1e30 * TONE, subtype="FLOAT"), "error", "or beyond 100 times full scale"),
    "integers as floats": (sound(32_767 * TONE, subtype="FLOAT"), "error", "or beyond 100 times full scale"),
    "sound above 8 kHz only": (only_at_high_rates, "error", f"{NAMED}: {FIRST}: silent throughout"),
    "empty file": (lambda root: (root / FIRST).write_bytes(b""), "error", f"{NAMED}: {FIRST}: not readable as audio"),
    "no samples": (sound(np.zeros(0)), "error", f"{NAMED}: {FIRST}: holds no samples"),
    "text": (lambda root: (root / FIRST).write_text("hello"), "error", "not readable as audio"),
    "pickle": (lambda root: (root / FIRST).write_bytes(pickle.dumps([1])), "error", "not readable as audio"),
    "silence": (sound(np.zeros(8000)), "error", f"{NAMED}: {FIRST}: silent throughout, so that no SNR can be set"),
    "NaN": (sound(np.append(TONE, np.nan), subtype="FLOAT"), "error", f"{FIRST}: holds samples that are not finite"),
    "infinity": (sound(np.append(TONE, -np.inf), subtype="DOUBLE"), "error", "not finite, or beyond"),
    "clipped": (full_scale, "warning", f"{NAMED}: {FIRST}: 37.5% of the samples are clipped"),
    "beyond full scale": (sound(5 * TONE, subtype="FLOAT"), "warning", "% of the samples are clipped"),
    "very quiet": (sound(1e-3 * TONE, subtype="FLOAT"), "warning", "very quiet, -73 dBFS"),
    "a millisecond": (sound(TONE[:16]), "error", f"{NAMED}: {FIRST}: shorter than 0.1 s, so that a noise need not"),
    "an eighth of a second": (sound(TONE[:2000]), "warning", "only 0.12 s long"),
    "silent for a while": (sound(np.append(np.zeros(20_000), TONE)), "warning", "silent for the first 1.25 s; a clip"),
    "ten minutes": (sound(np.tile(TONE, 1200)), "warning", "600 s long; a clip ends at clip_seconds"),
    "stereo": (sound(np.stack([TONE, TONE], axis=1)), "fine", ""),
    "six channels": (sound(np.tile(TONE[:, None], 6)), "fine", ""),
    "8 kHz": (sound(sample_rate=8000), "fine", ""),
    "44.1 kHz": (sound(np.tile(TONE, 3), sample_rate=44_100), "fine", ""),
    "96 kHz": (sound(np.tile(TONE, 6), sample_rate=96_000), "fine", ""),
    "an odd rate": (sound(np.tile(TONE, 3), sample_rate=44_099), "fine", ""),
    "24-bit": (sound(subtype="PCM_24"), "fine", ""),
    "float": (sound(subtype="FLOAT"), "fine", ""),
    "8-bit": (sound(subtype="PCM_U8"), "fine", ""),
    "mp3": (as_mp3, "fine", ""),
    "flac named wav": (sound(format="FLAC"), "fine", ""),
    "a folder for a file": (folder_instead, "error", f"{NAMED}: {FIRST}: this path names no file below"),
    "a link out": (link_out, "error", f"{NAMED}: {FIRST}: this path leaves"),
    "a linked folder": (link_out_folder, "error", f"{NAMED}: {FIRST}: this path leaves"),
    "../": (cell("path", "../../etc/passwd"), "error", f"{NAMED}: ../../etc/passwd: this path leaves"),
    "../ and back": (cell("path", f"../corpus/{FIRST}"), "error", f"{NAMED}: ../corpus/{FIRST}: this path leaves"),
    "a wav from sox's pipe": (from_a_pipe(0x7FFFF024, 0x7FFFF000), "fine", ""),
    "a wav from ffmpeg's pipe": (from_a_pipe(0xFFFFFFFF, 0xFFFFFFFF), "fine", ""),
    "a wav of unset size": (from_a_pipe(0, 16_000), "fine", ""),
    "a header that announces terabytes": (announces_terabytes, "error", f"{NAMED}: {FIRST}: announces "),
    "blank lines": (text(lambda b: b.replace(b"\n", b"\n\n", 3)), "fine", ""),
    "a blank line before a bad row": (blank_then_bad, "error", "data/train_data.csv, row 3: wavs/x.wav: this path"),
    "one intent": (only_one_intent, "error", "is the only intent; there is nothing to tell apart"),
    "an absolute path": (cell("path", "/etc/passwd"), "error", f"{NAMED}: /etc/passwd: this path leaves"),
    "a path with a zero byte": (
        text(lambda b: b.replace(b"ann/0.wav", b"a\0.wav")),
        "error",
        r"wavs/speakers/a\x00.wav: this path",
    ),
    "an endless path": (cell("path", "x" * 5000), "error", f"{NAMED}: {'x' * 200}: this path cannot be"),
    "an empty path": (cell("path", ""), "error", f"{NAMED}: : empty path"),
    "an empty speaker": (cell("speakerId", ""), "error", f"{NAMED}: {FIRST}: empty speaker"),
    "an empty action": (cell("action", ""), "error", f"{NAMED}: {FIRST}: empty action; what"),
    "no such file": (cell("path", "wavs/x.wav"), "error", f"{NAMED}: wavs/x.wav: this path names no file"),
    "a missing column": (rows("train", lambda t: t.drop(columns="object")), "error", "lacks ['object']"),
    "an extra column": (rows("train", lambda t: t.assign(age=30)), "fine", ""),
    "other order of columns": (rows("train", lambda t: t[t.columns[::-1]]), "fine", ""),
    "rows longer than the header": (
        text(lambda b: b.replace(b"none\n", b"none,x\n")),
        "error",
        "row 2, 3, 4, 5, 6: expected 7 fields",
    ),
    "a row of too few fields": (text(lambda b: b.replace(b",none\n", b"\n", 1)), "error", "row 2: expected 7 fields"),
    "a missing CSV": (lambda root: (root / "data/valid_data.csv").unlink(), "error", "valid_data.csv: missing"),
    "an empty CSV": (text(lambda b: b""), "error", "train_data.csv: lacks ['path', 'speakerId'"),
    "a column twice": (
        text(lambda b: b.replace(b"transcription", b"path")),
        "error",
        "lacks ['path', 'transcription']",
    ),
    "a row of a number only": (text(lambda b: b + b"12,,,,,,\n"), "error", "data/train_data.csv, row 14: : empty path"),
    "an empty split": (text(lambda b: b.splitlines(keepends=True)[0], "valid"), "error", "lacks rows"),
    "one utterance": (rows("valid", lambda t: t[:1]), "warning", "valid_data.csv: lacks 2 intent(s) of train"),
    "a byte-order mark": (text(lambda b: b"\xef\xbb\xbf" + b), "fine", ""),
    "CRLF": (text(lambda b: b.replace(b"\n", b"\r\n")), "fine", ""),
    "quotes and commas": (cell("transcription", 'turn "it", please'), "fine", ""),
    "a line break": (
        cell("transcription", "turn it\non"),
        "error",
        "train_data.csv: row 2: a field goes on in the next",
    ),
    "a quote too many": (
        text(lambda b: b.replace(b"none\n", b'"none\n', 1)),
        "error",
        "train_data.csv: row 2: ',' expected",
    ),
    "a quote in vain": (
        text(lambda b: b.replace(b"lamp", b'"la"mp', 1)),
        "error",
        "train_data.csv: row 2: ',' expected",
    ),
    "a quote that swallows rows": (
        text(swallows_rows),
        "error",
        "train_data.csv: row 3: a field goes on in the next row",
    ),
    "a quote without end": (text(lambda b: b[:-5] + b'"none\n'), "error", "train_data.csv: row 13: unexpected end"),
    "an inch": (text(lambda b: b.replace(b'"switch it, please"', b'switch 5" on', 1)), "fine", ""),
    "a blank after a speaker": (cell("speakerId", "ann "), "error", f"{NAMED}: {FIRST}: speaker 'ann ' begins or ends"),
    "a blank before an object": (
        cell("object", "\u00a0lamp"),
        "error",
        "object '\\xa0lamp' begins or ends with a blank",
    ),
    "a blank after a path": (cell("path", f"{FIRST} "), "error", f"{FIRST} : path '{FIRST} ' begins or ends"),
    "a blank after a wording": (cell("transcription", "go "), "warning", "transcription 'go ' begins or ends with a"),
    "two intents of one name": (colliding, "error", "row 3: wavs/speakers/ann/1.wav: intent 'a / b / c / d' is also"),
    "non-ASCII": (cell("transcription", "Küche, 厨房 🔊"), "fine", ""),
    "latin-1": (text(lambda b: b.replace(b"switch", b"k\xfcche")), "error", "not readable as UTF-8 CSV"),
    "UTF-16": (text(lambda b: b.decode().encode("utf-16")), "error", "not readable as UTF-8 CSV"),
    "a spreadsheet": (text(lambda b: b"PK\x03\x04" + bytes(200)), "error", "train_data.csv"),
    "semicolons": (text(lambda b: b.replace(b",", b";")), "error", "lacks ['path'"),
    "a row twice": (twice, "error", "data/train_data.csv, row 14: wavs/speakers/ann/0.wav: the same path as"),
    "a recording twice": (same_audio, "warning", f"bob/0.wav: the same recording as {NAMED}: {FIRST}"),
    "an intent only in test": (cell("object", "hat", "test"), "error", "dan/0.wav: intent 'activate / hat / none'"),
    "few utterances of an intent": (cell("object", "hat"), "warning", "only 1 utterance(s) of 'activate / hat / none'"),
}


@pytest.mark.parametrize("name", CORPORA)
def test_corpora(name, corpus_root, capsys):
    spoil, verdict, message = CORPORA[name]
    spoil(corpus_root)
    (diagnosis,) = examine(corpus_root)
    with pytest.raises(SystemExit) as ended:
        main([str(corpus_root)])
    assert ended.value.code == (verdict == "error")
    assert message in capsys.readouterr().out
    if verdict == "error":
        assert any(message in line for line in diagnosis.errors), diagnosis.errors
        with pytest.raises(CorpusError):
            Corpus.read(corpus_root)
        return
    assert not diagnosis.errors
    assert (verdict == "warning") == (bool(message) and any(message in line for line in diagnosis.warnings))
    assert len(Corpus.read(corpus_root).manifest) >= 25
    if verdict == "fine":
        level = 20 * np.log10(Corpus.read(corpus_root).audio.sources.rms[0])
        assert level == pytest.approx(20 * np.log10(0.3 / 2**0.5), abs=0.1)


def noise(name, wave, folder="noise_train"):
    return lambda root: soundfile.write(root / folder / name, wave, 16_000)


def put_noise(name, content):
    def spoil(root):
        (root / "noise_train" / name).parent.mkdir(exist_ok=True)
        (root / "noise_train" / name).write_bytes(content)

    return spoil


def noise_twice(root):
    shutil.copy(root / "noise_train/Typing_1.wav", root / "noise_train/Typing_9.wav")


NOISES = {
    "shorter than the utterance": (noise("Hum_1.wav", 0.1 * TONE[:100]), "fine", ""),
    "a name without a number": (
        noise("Hum.wav", TONE),
        "warning",
        "Hum.wav: not read; a noise is noise_train/Typing_1",
    ),
    "a name without a type": (noise("_1.wav", TONE), "warning", "_1.wav: not read; a noise is"),
    "a name without an ending": (put_noise("Hum_1", b"x"), "warning", "Hum_1: not read; a noise is"),
    "in a folder of its own": (put_noise("more/Hum_1.wav", b"x"), "warning", "more/Hum_1.wav: not read; a noise is"),
    "a blank in its name": (noise("Hum _1.wav", TONE), "error", "Hum _1.wav: its type begins or ends with a blank"),
    "no header": (put_noise("Hum_1.raw", bytes(9999)), "error", "Hum_1.raw: not readable as audio"),
    "silent": (noise("Hum_1.wav", np.zeros(8000)), "error", "Hum_1.wav: silent throughout"),
    "not audio": (lambda root: (root / "noise_test/Hum_1.wav").write_text("x"), "error", "Hum_1.wav: not readable"),
    "empty file": (noise("Hum_1.wav", np.zeros(0)), "error", "Hum_1.wav: holds no samples"),
    "missing folder": (lambda root: shutil.rmtree(root / "noise_test"), "error", "noise_test: missing or"),
    "clipped": (noise("Hum_1.wav", np.sign(TONE)), "warning", "% of the samples are clipped"),
    "a file twice": (noise_twice, "warning", "Typing_9.wav: the same recording as"),
}


@pytest.mark.parametrize("name", NOISES)
def test_noises(name, noise_root):
    spoil, verdict, message = NOISES[name]
    spoil(noise_root)
    (diagnosis,) = examine(noise_root)
    found = {"error": diagnosis.errors, "warning": diagnosis.warnings, "fine": []}[verdict]
    assert verdict == "fine" or any(message in line for line in found), str(diagnosis)
    assert bool(diagnosis.errors) == (verdict == "error")
    if verdict != "error":
        assert Noises.read(noise_root / "noise_train").audio.loops(torch.tensor([0]), torch.tensor([5]), 9000).any()


def test_a_folder_that_is_neither(tmp_path):
    with pytest.raises(SystemExit, match="holds neither"):
        main([str(tmp_path)])
