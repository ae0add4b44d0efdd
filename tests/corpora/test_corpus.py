"""Corpora as they are read: the layout, CSVs to the last character, all problems at once, what the doctor counts."""

import csv
import io
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from jointlib import COLUMNS
from jointlib.config import CHECKOUT, load_config
from jointlib.corpora.corpus import NAMES, Corpus, CorpusError, Noises, _read_split
from jointlib.corpora.doctor import examine, examine_profile
from jointlib.findings.card import write_card
from jointlib.runs.fit import fit


def test_reads_the_layout(corpus_root):
    corpus = Corpus.read(corpus_root)
    assert len(corpus.manifest) == len(corpus.audio.lengths) == 30
    assert corpus.intents == ["activate / lamp / none", "bring / shoes / none", "deactivate / lamp / none"]
    row = corpus.manifest[corpus.manifest.split == "test"].iloc[1]
    assert row.transcription == "switch it, please"  # a comma inside a field
    assert corpus.intents[row.label] == row.intent == "deactivate / lamp / none"
    expected, _ = soundfile.read(corpus_root / row.path, dtype="int16")
    clip, length = corpus.audio.clips(torch.tensor([row.name]), 8000)
    assert length == 8000
    np.testing.assert_array_equal((clip[0] * 32768).numpy(), expected)


def test_noise_types(noise_root):
    noises = Noises.read(noise_root / "noise_train")
    assert noises.manifest.type.tolist() == ["Babble", "Typing", "Typing"]
    assert len(Noises.read(noise_root / "noise_train", ["Typing"]).audio.lengths) == 2
    with pytest.raises(CorpusError, match="no noise of type"):
        Noises.read(noise_root / "noise_train", ["Thunder"])


def test_the_doctor_counts(corpus_root, noise_root):
    (speech,), (noise,) = examine(corpus_root), examine(noise_root)
    counts = ["files", "speakers", "intents", "wordings", "seconds"]
    assert speech.facts.loc[counts, "train"].tolist() == [12, 2, 3, 1, "0.5"]
    assert noise.facts.loc[["files", "types", "sample rate (Hz)"], "noise_test"].tolist() == [3, 2, "16000"]
    assert str(speech.facts.valid["hours"]) in str(speech) and not noise.warnings


def test_the_doctor_examines_what_a_profile_is_trained_on(profile, corpus_root):
    assert [len(found.warnings) for found in examine_profile(load_config(profile))] == [0, 0]
    with pytest.raises(CorpusError, match="no noise of type"):
        examine_profile(load_config(profile, noise_types_test="Thunder"))
    (corpus_root / "data/test_data.csv").unlink()
    speech, _ = examine_profile(load_config(profile))
    assert speech.errors[0].startswith("data/test_data.csv: missing") and "\nerror: data/test" in str(speech)


def test_what_a_clip_cuts_is_counted_wherever_a_profile_is_used(profile, corpus_root, capfd):
    for number in (1, 2):
        soundfile.write(corpus_root / f"wavs/speakers/cat/{number}.wav", np.sin(number * np.arange(9600)), 16_000)
    speech, _ = examine_profile(load_config(profile, clip_seconds=0.55))
    cut = "clip_seconds = 0.55: valid 2; the longest lasts 0.6"
    assert any(cut in line for line in speech.warnings) and cut in str(speech)
    folder = fit(load_config(profile, clip_seconds=0.55, strategy="classifier_clean"))
    assert f"Warning: utterances cut by {cut}0 s\n" in capfd.readouterr().err
    write_card(folder)
    assert f"- utterances cut by {cut}0 s\n" in (folder / "card.md").read_text()
    assert Corpus.read(corpus_root).cut(0.6) == ""


def test_the_page_on_corpora_lays_out_two_public_ones(tmp_path):
    """Folders that look like the clones; one order names no drink, and one has no recording."""
    waveform = np.random.default_rng(0).normal(size=4000)
    drinks, voices = ["latte"] * 5 + ["mocha "] * 5, ["theo", "lucas", "jackson", "yweweler"]
    digits = [f"recordings/{digit}_{voice}_{take}.wav" for digit in (0, 9) for voice in voices for take in (0, 31)]
    orders = [f"data/speech/clean/{number}.wav" for number in range(11)]
    roots = [tmp_path / f"data/{name}" for name in ("free-spoken-digit-dataset", "speech-to-intent-benchmark")]
    for file in [roots[0] / name for name in digits] + [roots[1] / name for name in orders]:
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, waveform := np.roll(waveform, 1), 8000)
    slots = [{"coffeeDrink": drink} for drink in drinks] + [{"size": "large"}, {"coffeeDrink": "latte"}]
    (roots[1] / "data/label").mkdir()
    labels = {f"{number}.wav": {"intent": "orderDrink", "slots": one} for number, one in enumerate(slots)}
    (roots[1] / "data/label/label.json").write_text(json.dumps(labels))
    for script in re.findall("<<'END'\n(.*?)\nEND", (CHECKOUT / "data/README.md").read_text(), re.S):
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    (spoken,), (ordered,) = (examine(root) for root in roots)
    assert spoken.facts.loc[["files", "speakers", "intents"]].T.to_numpy().tolist() == [[8, 2, 2], [4, 1, 2], [4, 1, 2]]
    assert ordered.facts.loc[["files", "intents"]].T.to_numpy().tolist() == [[6, 2], [2, 2], [2, 2]]


# Text as a CSV may hold it: no surrogates (UTF-8 has none), no zero bytes, no line breaks.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), max_size=20)
LOOKING_LIKE_VALUES = ["007", "1e1", "1_000", "-0", "inf", "NaN", "NA", "null", "None", "TRUE", "#N/A"]
WORDS = st.sampled_from(LOOKING_LIKE_VALUES) | TEXTS.map(str.strip).filter(bool)
PATHS = st.from_regex(r"x[a-z0-9]{0,8}", fullmatch=True)
ROWS = st.lists(st.tuples(PATHS, WORDS, TEXTS, WORDS, WORDS, WORDS), min_size=1, max_size=5)


@given(ROWS, st.booleans())
def test_a_csv_is_read_as_it_was_written(rows, marked):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "data/train_data.csv")
        file.parent.mkdir()
        with file.open("w", newline="", encoding="utf-8-sig" if marked else "utf-8") as stream:
            csv.writer(stream).writerows([COLUMNS, *rows])
        table = _read_split(Path(folder), "train")
    assert [tuple(row) for row in table[list(NAMES[:6])].itertuples(index=False)] == rows
    assert table.place.tolist() == [f"data/train_data.csv, row {row}: {path}" for row, (path, *_) in enumerate(rows, 2)]


@given(ROWS, st.lists(st.integers(0, 10**6), min_size=1, max_size=3))
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
            assert re.search(r"row \d+|line \d+|lacks \['", str(error)), error
            return
    if (table.location == "").any():  # an error, too: Corpus.read names the row
        return
    unquoted = [[field.replace('"', "") for field in row] for row in rows]
    found = table[list(NAMES[:6])].to_numpy().tolist()
    assert [[field.replace('"', "") for field in row] for row in found] == unquoted
