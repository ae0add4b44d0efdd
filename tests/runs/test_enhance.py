"""Enhancing files and folders: inputs and existing files are safe, and one bad file costs no other."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from jointlib.runs.enhance import COLUMNS, enhance_files

pytestmark = pytest.mark.trust


def sound(file: Path, seed: int = 0, rate: int = 8000, channels: int = 1) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    form = {".wav": "WAV", ".ogg": "OGG"}.get(file.suffix.lower(), "FLAC")
    samples = 0.1 * np.random.default_rng(seed).normal(size=(rate // 10, channels))
    soundfile.write(file, samples, rate, format=form)
    return file


@pytest.fixture
def source(tmp_path):
    """a.wav and deep/a.wav."""
    sound(tmp_path / "in/a.wav", 1)
    sound(tmp_path / "in/deep/a.wav", 2)
    return tmp_path / "in"


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_folder_is_enhanced_at_its_files_own_rates_and_lengths(tiny_runs, source, tmp_path, capsys):
    sound(source / "deep/b.flac", rate=44_100, channels=2)
    for companion in ("._a.wav", ".DS_Store", "notes.txt"):
        (source / companion).write_bytes(b"companion")
    sound(source / ".trash/a.wav")
    assert enhance_files(tiny_runs["jt"], source, tmp_path / "out", strength=0.5) == 0
    for name, frames, rate in (("a.wav", 800, 8000), ("deep/a.wav", 800, 8000), ("deep/b.flac.wav", 4410, 44_100)):
        info = soundfile.info(tmp_path / "out" / name)
        assert (info.frames, info.samplerate, info.channels) == (frames, rate, 1)
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    assert tuple(table) == COLUMNS and set(table.run) == {str(tiny_runs["jt"])} and set(table.strength) == {0.5}
    assert table.file.tolist() == [str(source / name) for name in ("a.wav", "deep/a.wav", "deep/b.flac")]
    assert table.probability.between(1 / 3, 1).all() and table.intent.notna().all() and table.problem.isna().all()
    passed_over = "Skipped, not audio or hidden: 4 files (.DS_Store, ._a.wav, .trash/a.wav, notes.txt)"
    assert passed_over in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.sph", "a.aifc", "a.oga", "a.SND", f"{'x' * 251}.wav"])
def test_files_of_every_ending_and_length_of_name_are_taken_from_a_folder(name, tiny_runs, tmp_path):
    form = {".sph": "NIST", ".aifc": "AIFF", ".oga": "OGG", ".SND": "AU"}.get(Path(name).suffix, "WAV")
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / name, 0.1 * np.random.default_rng(0).normal(size=800), 8000, format=form)
    run = tiny_runs["classifier_clean" if len(name) < 9 else "bn"]
    assert enhance_files(run, tmp_path / "in", tmp_path / "out") == 0
    assert pd.read_csv(tmp_path / "out/predictions.csv").intent.notna().all()


@pytest.mark.parametrize(("strategy", "wavs"), [("bn", 2), ("classifier_clean", 0)])
def test_an_output_inside_the_input_is_no_input(strategy, wavs, tiny_runs, source):
    before = bytes_of(source)
    for overwrite in (False, True):
        assert enhance_files(tiny_runs[strategy], source, source / "deep/out", overwrite=overwrite) == 0
        assert len(pd.read_csv(source / "deep/out/predictions.csv")) == 2
        assert len(list((source / "deep/out").rglob("*.wav"))) == wavs
    assert bytes_of(source) | before == bytes_of(source)


def test_a_single_file_has_an_output_folder_or_an_output_file(tiny_runs, source, tmp_path):
    assert enhance_files(tiny_runs["jt"], source / "a.wav", tmp_path / "out") == 0
    assert set(bytes_of(tmp_path / "out")) == {"a.wav", "predictions.csv"}
    assert enhance_files(tiny_runs["jt"], source / "a.wav", tmp_path / "new/b.wav") == 0
    assert set(bytes_of(tmp_path / "new")) == {"b.wav", "b.csv"}
    assert (tmp_path / "new/b.wav").read_bytes() == (tmp_path / "out/a.wav").read_bytes()
    assert enhance_files(tiny_runs["jt"], source / "a.wav", tmp_path / "new/c.FLAC") == 0
    assert soundfile.info(tmp_path / "new/c.FLAC").format == "FLAC"
    both = (soundfile.read(tmp_path / "new" / name)[0] for name in ("c.FLAC", "b.wav"))
    np.testing.assert_allclose(*both, atol=1.1 / 2**15)  # the two round in different ways
    (tmp_path / "folder.wav").mkdir()
    assert enhance_files(tiny_runs["jt"], source / "a.wav", tmp_path / "folder.wav") == 0
    assert set(bytes_of(tmp_path / "folder.wav")) == {"a.wav", "predictions.csv"}
    with pytest.raises(ValueError, match=r"b.mp3: the output must be .wav or .flac"):
        enhance_files(tiny_runs["jt"], source / "a.wav", tmp_path / "b.mp3")


def test_silence_has_no_intent_and_what_would_clip_has_one_gain(tiny_runs, tmp_path):
    wave, source = np.random.default_rng(0).normal(size=8000), sound(tmp_path / "in/quiet.wav").parent
    for name, level, offset in (("loud", 2, 0), ("silent", 0, 0), ("nearly", 1e-5, 0), ("offset", 0, 0.2)):
        soundfile.write(source / f"{name}.wav", level * wave + offset, 8000, subtype="FLOAT")
    assert enhance_files(tiny_runs["bn"], source, tmp_path / "out", strength=0.0) == 0
    table = pd.read_csv(tmp_path / "out/predictions.csv", index_col="file").rename(lambda file: Path(file).stem)
    assert table.gain["loud"] == pytest.approx(1 / np.abs(2 * wave).max()) and (table.gain.drop("loud") == 1).all()
    np.testing.assert_allclose(soundfile.read(tmp_path / "out/loud.wav")[0], wave / np.abs(wave).max(), atol=1e-4)
    assert set(table.index[table.intent.isna()]) == {"silent", "nearly", "offset"} == set(table.problem.dropna().index)


def linked(place: Path, target: Path) -> Path:
    place.symlink_to(target)
    return place


REFUSED = {  # input, output and the problem, below the folder that holds `in`
    "the input folder": (lambda at: (at / "in", at / "in"), "no audio file there, except in"),
    "around the input": (lambda at: (at / "in", at), "no audio file there, except in"),
    "the input file": (lambda at: (at / "in/a.wav", at / "in/a.wav"), "is an input file"),
    "the input file's folder": (lambda at: (at / "in/a.wav", at / "in"), "is an input file"),
    "a link to the input": (lambda at: (at / "in/a.wav", linked(at / "b.wav", at / "in/a.wav")), "is an input file"),
    "somebody's recording": (lambda at: (at / "in", sound(at / "out/deep/a.wav", 5).parents[1]), "deep/a.wav: exists"),
    "two inputs with one output": (
        lambda at: (sound(sound(at / "in/b.ogg").with_suffix(".ogg.wav")).parent, at / "out"),
        "two files would have one output",
    ),
    "nothing to enhance": (lambda at: (at / "nowhere", at / "out"), "no audio file there"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_inputs_and_existing_files_are_left_alone(name, tiny_runs, source, tmp_path):
    given_input, output = REFUSED[name][0](tmp_path)
    before = bytes_of(tmp_path)
    with pytest.raises((FileExistsError, FileNotFoundError), match=REFUSED[name][1]):
        enhance_files(tiny_runs["jt"], given_input, output, overwrite="recording" not in name)
    assert bytes_of(tmp_path) == before


def test_a_file_that_fails_is_a_row_with_its_problem_and_costs_no_other(tiny_runs, source, tmp_path):
    (source / "broken.wav").write_bytes(b"RIFF")
    soundfile.write(source / "infinite.wav", np.full(800, np.inf), 8000, subtype="FLOAT")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/deep").write_text("a file where a folder is needed")
    assert enhance_files(tiny_runs["bn"], source, tmp_path / "out", strength=0.0) == 3
    table = pd.read_csv(tmp_path / "out/predictions.csv").set_index("file")
    problems = table.problem.dropna()
    assert set(problems.index) == {str(source / name) for name in ("broken.wav", "infinite.wav", "deep/a.wav")}
    assert "not readable as audio" in problems[str(source / "broken.wav")]
    assert not (tmp_path / "out/broken.wav").exists()
    assert table.intent.notna().sum() == 1


def test_a_strength_that_cannot_be_is_refused_before_anything_is_written(tiny_runs, source, tmp_path):
    with pytest.raises(ValueError, match=r"strength=1.5: must be between 0 .* and 1"):
        enhance_files(tiny_runs["jt"], source, tmp_path / "out", strength=1.5)
    assert not (tmp_path / "out").exists()
