"""Bad inputs, a row each: what is spoilt, and how it is handled. `fine` means that it is read like any other."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from safetensors.torch import load_file, save_file

from jointlib.corpora.corpus import Corpus, CorpusError
from jointlib.corpora.doctor import examine, examine_speech, main
from jointlib.corpora.noises import Noises
from jointlib.config import from_notebook, load_config
from jointlib.runs.folder import FILES, RunError
from jointlib.runs.run import list_runs, load_run
from jointlib.runs.scores import read_run
from jointlib.config import ConfigError

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


def cut(path, name=FIRST):
    """Keep the first half of a file."""
    return lambda root: (root / name).write_bytes(path(root).read_bytes()[: path(root).stat().st_size // 2])


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


def as_mp3(root):
    soundfile.write(root / "wavs/a.mp3", np.tile(TONE, 4), 16_000, format="MP3")
    cell("path", "wavs/a.mp3")(root)


def twice(root):
    rows("train", lambda table: pd.concat([table, table[:1]]))(root)


def same_audio(root):
    shutil.copy(root / FIRST, root / "wavs/speakers/bob/0.wav")


def from_a_pipe(root):
    """As sox writes it where it cannot go back to the header."""
    content = bytearray((root / FIRST).read_bytes())
    content[40:44] = (0x7FFFF000).to_bytes(4, "little")
    (root / FIRST).write_bytes(content)
    soundfile.write(root / "wavs/whole.wav", TONE, 16_000)
    content[44:] = (root / "wavs/whole.wav").read_bytes()[44:]
    (root / FIRST).write_bytes(content)


def announces_terabytes(root):
    soundfile.write(root / FIRST, TONE, 16_000, format="FLAC")
    content = bytearray((root / FIRST).read_bytes())
    content[21] |= 0x0F  # the 36 bits of STREAMINFO that count samples
    content[22:26] = b"\xff" * 4
    (root / FIRST).write_bytes(content)


def blank_then_bad(root):
    cell("path", "wavs/x.wav")(root)
    text(lambda content: content.replace(b"\n", b"\n\n", 1))(root)


def only_one_intent(root):
    for split in ("train", "valid", "test"):
        rows(split, lambda table: table.assign(action="go", object="home", location="now"))(root)


def full_scale(root):
    wave = np.clip(4 * TONE, -1, 1)
    soundfile.write(root / FIRST, wave, 16_000)


NAMED = "data/train_data.csv, row 2"
CORPORA = {
    "cut wav": (cut_as(), "error", f"{NAMED}: {FIRST}: ends early, after"),
    "cut 24-bit wav": (cut_as(subtype="PCM_24"), "error", "ends early"),
    "cut flac": (cut_as(format="FLAC"), "error", "not readable as audio"),
    "cut mp3": (cut_as(format="MP3"), "error", "ends early"),
    "empty file": (lambda root: (root / FIRST).write_bytes(b""), "error", f"{NAMED}: {FIRST}: not readable as audio"),
    "no samples": (sound(np.zeros(0)), "error", f"{NAMED}: {FIRST}: holds no samples"),
    "text": (lambda root: (root / FIRST).write_text("hello"), "error", "not readable as audio"),
    "pickle": (lambda root: (root / FIRST).write_bytes(pickle.dumps([1])), "error", "not readable as audio"),
    "silence": (sound(np.zeros(8000)), "error", f"{NAMED}: {FIRST}: silent throughout, so that no SNR can be set"),
    "NaN": (sound(np.append(TONE, np.nan), subtype="FLOAT"), "error", f"{FIRST}: holds samples that are not finite"),
    "infinity": (sound(np.append(TONE, -np.inf), subtype="DOUBLE"), "error", "not finite"),
    "clipped": (full_scale, "warning", f"{NAMED}: {FIRST}: 37.5 % of the samples are clipped"),
    "beyond full scale": (sound(5 * TONE, subtype="FLOAT"), "warning", "% of the samples are clipped"),
    "very quiet": (sound(1e-3 * TONE, subtype="FLOAT"), "warning", "very quiet, -73 dBFS"),
    "a millisecond": (sound(TONE[:16]), "warning", "only 0.00 s long"),
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
    "a folder for a file": (folder_instead, "error", f"{NAMED}: path '{FIRST}' names no file below"),
    "a link out": (link_out, "error", f"{NAMED}: path '{FIRST}' leaves the corpus folder"),
    "a linked folder": (link_out_folder, "error", f"{NAMED}: path '{FIRST}' leaves the corpus folder"),
    "../": (cell("path", "../../etc/passwd"), "error", f"{NAMED}: path '../../etc/passwd' leaves the corpus folder"),
    "../ and back": (cell("path", f"../corpus/{FIRST}"), "error", f"{NAMED}: path '../corpus/{FIRST}' leaves"),
    "a wav from a pipe": (from_a_pipe, "fine", ""),
    "a header that announces terabytes": (announces_terabytes, "error", f"{NAMED}: {FIRST}: not readable as audio"),
    "blank lines": (text(lambda b: b.replace(b"\n", b"\n\n", 3)), "fine", ""),
    "a blank line before a bad row": (blank_then_bad, "error", "data/train_data.csv, row 3: path 'wavs/x.wav'"),
    "one intent": (only_one_intent, "error", "is the only intent; there is nothing to tell apart"),
    "an absolute path": (cell("path", "/etc/passwd"), "error", f"{NAMED}: path '/etc/passwd' leaves the corpus folder"),
    "a path with a zero byte": (text(lambda b: b.replace(b"ann/0.wav", b"a\0.wav")), "error", "data/train_data.csv"),
    "an endless path": (cell("path", "x" * 5000), "error", f"{NAMED}: path 'xxxx"),
    "an empty path": (cell("path", ""), "error", f"{NAMED}: empty path"),
    "an empty speaker": (cell("speakerId", ""), "error", f"{NAMED}: empty speaker"),
    "an empty action": (cell("action", ""), "error", f"{NAMED}: empty action; what an intent leaves open is none"),
    "no such file": (cell("path", "wavs/x.wav"), "error", f"{NAMED}: path 'wavs/x.wav' names no file"),
    "a missing column": (rows("train", lambda t: t.drop(columns="object")), "error", "lacks ['object']"),
    "an extra column": (rows("train", lambda t: t.assign(age=30)), "fine", ""),
    "other order of columns": (rows("train", lambda t: t[t.columns[::-1]]), "fine", ""),
    "rows longer than the header": (text(lambda b: b.replace(b"none\n", b"none,x\n")), "error", "not readable as"),
    "a missing CSV": (lambda root: (root / "data/valid_data.csv").unlink(), "error", "valid_data.csv: missing"),
    "an empty CSV": (text(lambda b: b""), "error", "train_data.csv: not readable as UTF-8 CSV"),
    "an empty split": (text(lambda b: b.splitlines(keepends=True)[0], "valid"), "error", "lacks rows"),
    "one utterance": (rows("valid", lambda t: t[:1]), "warning", "valid_data.csv: 2 intent(s) of train are not in it"),
    "a byte-order mark": (text(lambda b: b"\xef\xbb\xbf" + b), "fine", ""),
    "CRLF": (text(lambda b: b.replace(b"\n", b"\r\n")), "fine", ""),
    "quotes and commas": (cell("transcription", 'turn "it", please,\nnow'), "fine", ""),
    "non-ASCII": (cell("transcription", "Küche, 厨房 🔊"), "fine", ""),
    "latin-1": (text(lambda b: b.replace(b"switch", b"k\xfcche")), "error", "not readable as UTF-8 CSV"),
    "UTF-16": (text(lambda b: b.decode().encode("utf-16")), "error", "not readable as UTF-8 CSV"),
    "a spreadsheet": (text(lambda b: b"PK\x03\x04" + bytes(200)), "error", "train_data.csv"),
    "semicolons": (text(lambda b: b.replace(b",", b";")), "error", "lacks ['path'"),
    "a row twice": (twice, "warning", "data/train_data.csv, row 14: wavs/speakers/ann/0.wav: the same path as"),
    "a recording twice": (same_audio, "warning", "bob/0.wav: the same recording as wavs/speakers/ann/0.wav"),
    "an intent only in test": (cell("object", "hat", "test"), "error", "test_data.csv: intent 'activate / hat / none'"),
    "one speaker in two splits": (cell("speakerId", "eve"), "error", "speaker 'eve' is in train and test"),
    "few utterances of an intent": (cell("object", "hat"), "warning", "1 utterance(s) of 'activate / hat / none'"),
}


@pytest.mark.parametrize("name", CORPORA)
def test_corpora(name, corpus_root, capsys):
    spoil, verdict, message = CORPORA[name]
    spoil(corpus_root)
    diagnosis = examine_speech(corpus_root)
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


NOISES = {
    "shorter than the utterance": (noise("Hum_1.wav", 0.1 * TONE[:100]), "fine", ""),
    "a name without a number": (
        noise("Hum.wav", TONE),
        "warning",
        "Hum.wav: not read; names of",
    ),
    "silent": (noise("Hum_1.wav", np.zeros(8000)), "error", "Hum_1.wav: silent throughout; remove it"),
    "not audio": (lambda root: (root / "noise_test/Hum_1.wav").write_text("x"), "error", "Hum_1.wav: not readable"),
    "empty file": (noise("Hum_1.wav", np.zeros(0)), "error", "Hum_1.wav: holds no samples"),
    "missing folder": (
        lambda root: shutil.rmtree(root / "noise_test"),
        "error",
        "noise_test: missing or without noises",
    ),
    "clipped": (noise("Hum_1.wav", np.sign(TONE)), "warning", "Hum_1.wav: clipped"),
    "a file twice": (
        lambda root: shutil.copy(root / "noise_train/Typing_1.wav", root / "noise_train/Typing_9.wav"),
        "warning",
        "Typing_9.wav: the same recording as",
    ),
    "the same file in train and test": (
        lambda root: shutil.copy(root / "noise_train/Typing_1.wav", root / "noise_test/Hum_1.wav"),
        "error",
        "Hum_1.wav: the same recording as",
    ),
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
    with pytest.raises(SystemExit, match=r"neither data/train_data.csv nor noise_train"):
        main([str(tmp_path)])


PARAMETERS = {
    "text for a number": ({"epochs": "many"}, "epochs='many': expected int"),
    "a number for text": ({"corpus": 3}, "corpus=3: expected str"),
    "half an epoch": ({"epochs": 2.5}, "epochs=2.5: expected int"),
    "yes for a number": ({"batch_size": True}, "batch_size=True: expected int"),
    "a word for yes or no": ({"fresh_noise": "sometimes"}, "fresh_noise='sometimes': expected bool"),
    "text among numbers": ({"snr_db": [0, "loud"]}, "snr_db=[0, 'loud']: expected tuple[float, ...]"),
    "NaN": ({"learning_rate": float("nan")}, "learning_rate=nan: expected float"),
    "an SNR of NaN": ({"snr_db": [float("nan")]}, "snr_db=[nan]: expected"),
    "infinity": ({"clip_norm": float("inf")}, "clip_norm=inf: expected"),
    "None": ({"epochs": None}, "epochs=None: expected int"),
    "negative": ({"learning_rate": -1e-3}, "learning_rate: -0.001 must be greater than 0"),
    "a negative seed": ({"seed": -1}, "seed=-1: must be 0 or more"),
    "a batch of 0": ({"batch_size": 0}, "batch_size=0: must be 1 or more"),
    "no threads": ({"threads": 0}, "threads=0: must be 1 or more"),
    "a clip of no length": ({"clip_seconds": 1e-9}, "clip_seconds: 0 must be greater than 0"),
    "a chunk that does not fit": ({"frontend_chunk": 1000}, "frontend_chunk=1000: must be a multiple of 32"),
    "an endless seed": ({"seed": 2**40}, "seed=1099511627776: must be 4294967295 or less"),
    "a device of no use": ({"device": "meta"}, "device='meta': expected auto, cpu or cuda"),
    "alpha above 1": ({"alpha": 1.01}, "must lie between 0 and 1"),
    "alpha below 0": ({"alphas": [0.5, -0.1]}, "must lie between 0 and 1"),
    "no SNR": ({"snr_db": []}, "snr_db is empty: give at least one value"),
    "two numbers for three": ({"stem": [400, 160]}, "stem=[400, 160]: expected tuple[int, int, int]"),
    "a stem of nothing": ({"stem": [400, 0, 64]}, "must be 1 or more"),
    "unknown name": ({"learning_rte": 1}, "unknown parameter 'learning_rte': did you mean 'learning_rate'"),
    "unknown strategy": ({"strategy": "jit"}, "unknown strategy 'jit': did you mean 'jt'"),
    "unknown profile": ({"profile": "smok"}, "unknown profile 'smok': did you mean 'smoke'"),
    "unknown device": ({"device": "abacus"}, "device='abacus': expected auto, cpu or cuda"),
    "unknown setting of the corpus": ({"strategies": "jt,bn"}, "unknown strategy 'jt,bn'"),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    given, message = PARAMETERS[name]
    with pytest.raises(ConfigError) as caught:
        load_config(**{"profile": "smoke"} | given)
    assert message in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(ConfigError, match="device='cuda': torch sees no GPU here"):
        load_config("smoke", device="cuda")


@pytest.mark.parametrize("value", [np.float64(0.5), range(3), Path("x"), {1, 2}, [np.zeros(1)], print])
def test_notebooks_take_literals_only(value):
    with pytest.raises(ConfigError, match="SNR_DB: write the value out"):
        from_notebook({"PROFILE": "smoke", "SNR_DB": value})


PROFILES = {
    "a list": ("- 1\n- 2", "expected lines of NAME: VALUE, found list"),
    "not YAML": ("a: [1,", "not readable as YAML"),
    "code": ("corpus: !!python/object/apply:os.system ['touch planted']", "not readable as YAML"),
    "its own base": ("base: mine.yaml", "leads back to itself"),
    "unknown base": ("base: quickly", "unknown profile 'quickly': did you mean 'quick'"),
    "unknown name": ("base: smoke\nepoch: 3", "unknown parameter 'epoch': did you mean 'epochs'"),
    "bytes": ("\x00\x01", "not readable as YAML"),
}


@pytest.mark.parametrize("name", PROFILES)
def test_profiles(name, tmp_path, monkeypatch):
    content, message = PROFILES[name]
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_config("mine.yaml")
    assert message in str(caught.value) and not Path("planted").exists()


def settings(**changes):
    """Change config.json of a run; None removes an entry."""

    def spoil(folder):
        values = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps({k: v for k, v in values.items() if v != "removed"}))

    return spoil


def weights(change):
    """Change the tensors of weights.safetensors."""
    return lambda folder: save_file(change(load_file(folder / "weights.safetensors")), folder / "weights.safetensors")


def put(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def half(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-1000])


HEAD = "backend.head.1.weight"
RUNS = {
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), "lacks weights.safetensors"),
    "no metrics": (lambda folder: (folder / "metrics.json").unlink(), "lacks metrics.json"),
    "an empty folder": (lambda folder: [file.unlink() for file in folder.iterdir()], "not a finished run"),
    "cut weights": (half("weights.safetensors"), "weights.safetensors: not readable as safetensors"),
    "empty weights": (put("weights.safetensors", b""), "weights.safetensors: not readable as safetensors"),
    "weights that are text": (put("weights.safetensors", b"hello" * 99), "not readable as safetensors"),
    "a header that asks for memory": (put("weights.safetensors", b"\xff" * 64), "not readable as safetensors"),
    "other shapes": (weights(lambda w: w | {HEAD: w[HEAD][:, :3].clone()}), f"first {HEAD}: [3, 3] there, [3, 16]"),
    "other classes": (settings(intents=["a", "b"]), "wanted"),
    "a weight too few": (weights(lambda w: {k: v for k, v in w.items() if k != HEAD}), f"{HEAD}: None there"),
    "a weight too many": (weights(lambda w: w | {"extra": torch.zeros(3)}), "extra: [3] there, None wanted"),
    "weights of NaN": (weights(lambda w: w | {HEAD: w[HEAD] * torch.nan}), f"{HEAD} holds values that are not finite"),
    "config that is no JSON": (put("config.json", b"{'a': 1}"), "config.json: not readable as JSON"),
    "config that is a list": (put("config.json", b"[1, 2]"), "config.json: expected an object"),
    "config with an unknown key": (settings(stemm=3), "config.json: unknown ['stemm']"),
    "config without a key": (settings(tcn_blocks="removed"), "missing ['tcn_blocks']"),
    "config of another type": (settings(tcn_blocks="five"), "tcn_blocks='five': expected int"),
    "an unknown strategy": (settings(strategy="jtt"), "unknown strategy 'jtt'"),
    "no intents": (settings(intents=[]), "intents: expected a list of names"),
    "intents that are numbers": (settings(intents=[1, 2, 3]), "intents: expected a list of names"),
    "a network of a million channels": (settings(tcn_channels=10**6), "does not fit config.json"),
    "a network of a million layers": (settings(tcn_blocks=10**6), "tcn_blocks=1000000: must be 20 or less"),
    "half precision": (weights(lambda w: {k: v.half() for k, v in w.items()}), "is torch.float16; expected torch"),
    "brackets without end": (put("config.json", b"[" * 100_000), "config.json: not readable as JSON"),
}


@pytest.mark.parametrize("name", RUNS)
def test_run_folders(name, tiny_runs, tmp_path):
    spoil, message = RUNS[name]
    folder = shutil.copytree(tiny_runs["jt"], tmp_path / "results/runs/jt")
    assert load_run(folder).model is not None
    spoil(folder)
    with pytest.raises((RunError, FileNotFoundError)) as caught:
        load_run(folder)
    assert message in str(caught.value)


class Payload:
    """Whoever unpickles this leaves a file behind."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_in_a_run_folder_is_refused_unexecuted(name, tiny_runs, tmp_path):
    folder = shutil.copytree(tiny_runs["jt"], tmp_path / "results/runs/jt")
    planted = tmp_path / "planted"
    (folder / name).write_bytes(pickle.dumps(Payload(planted)))
    refused = 0
    for read in (load_run, read_run, lambda run: list_runs(run.parent.parent)):
        try:
            read(folder)
        except (ValueError, KeyError):
            refused += 1
    assert not planted.exists()
    assert refused or name in ("record.json", "history.csv")  # none of these readers opens them
    pickle.loads((folder / name).read_bytes())
    assert planted.exists()  # the payload works, where it is let in
