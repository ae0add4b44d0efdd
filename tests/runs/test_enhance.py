"""Enhancing files and folders: inputs and earlier results are safe, and one bad file costs no other."""

import os
import re
import resource
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jointlib.runs import enhance as module
from jointlib.runs.enhance import CLASSIFIED, ENDINGS, _name, _output_name, enhance_folder, main
from jointlib.runs.run import load_run

pytestmark = pytest.mark.trust


@pytest.fixture(scope="session")
def runs(tiny_runs):
    return {name: load_run(folder) for name, folder in tiny_runs.items()}


@pytest.fixture
def run(runs):
    return runs["jt"]


def sound(file: Path, seed: int = 0, rate: int = 8000) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    form = {".wav": "WAV", ".ogg": "OGG"}.get(file.suffix.lower(), "FLAC")
    soundfile.write(file, 0.1 * np.random.default_rng(seed).normal(size=rate // 10), rate, format=form)
    return file


@pytest.fixture
def source(tmp_path):
    """a.wav and deep/a.wav."""
    sound(tmp_path / "in/a.wav", 1)
    sound(tmp_path / "in/deep/a.wav", 2)
    return tmp_path / "in"


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".lock"
    }


def linked(place: Path, target: Path) -> Path:
    place.symlink_to(target)
    return place


# Where the output may lie: from the folder that the input `in` is in.
INSIDE = {
    "inside": lambda top: top / "in/out",
    "inside, relative": lambda top: Path("in/out"),
    "inside, by a detour": lambda top: top / "in/deep/../out",
    "inside, by a link": lambda top: linked(top / "link", top / "in") / "out",
    "nested": lambda top: top / "in/deep/out/out",
    "a link to inside": lambda top: linked(top / "out", (top / "in/inner").mkdir() or top / "in/inner"),
    "outside": lambda top: top / "out",
    "a link inside to outside": lambda top: linked(top / "in/out", (top / "far").mkdir() or top / "far"),
}


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("place", INSIDE)
def test_outputs_are_no_inputs_and_inputs_are_left_alone(place, relative, run, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, output = bytes_of(source), INSIDE[place](tmp_path)
    for _ in range(2):
        table = enhance_folder(run, Path("in") if relative else source, output)
        assert len(table) == 2
        assert bytes_of(source) | before == bytes_of(source)
        assert len(pd.read_csv(output / "predictions.csv")) == 2
        assert {str(file.relative_to(output)) for file in output.rglob("*.wav")} == {"a.wav", "deep/a.wav"}


REFUSED = {
    "the input": lambda top: top / "in",
    "the input, relative": lambda top: Path("in"),
    "the input, by a link": lambda top: linked(top / "link", top / "in"),
    "around the input": lambda top: top,
    "far around it": lambda top: top.parent,
}


@pytest.mark.parametrize("place", REFUSED)
def test_an_output_where_the_input_lies_is_refused(place, run, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, output = bytes_of(tmp_path), REFUSED[place](tmp_path)
    with pytest.raises(ValueError, match="must not be the input's"):
        enhance_folder(run, source, output)
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_an_output_that_leads_back_to_an_input_is_refused(link, run, source, tmp_path):
    output = tmp_path / "out"
    enhance_folder(run, source, output)
    before = bytes_of(source)
    (output / "a.wav").unlink()
    link(output / "a.wav", source / "a.wav")
    (output / "deep/a.wav").unlink()
    (output / "deep").rmdir()
    (output / "deep").symlink_to(source / "deep")
    with pytest.raises(ValueError, match="2 problem") as caught:
        enhance_folder(run, source, output)
    assert "a.wav is there, and not made of it" in str(caught.value) and bytes_of(source) == before


def test_what_lies_in_the_output_folder_is_not_replaced(run, source, tmp_path):
    """Neither somebody's recording nor what was made of another file of the same name."""
    sound(tmp_path / "out/a.wav", 5)
    mine = (tmp_path / "out/a.wav").read_bytes()
    with pytest.raises(ValueError, match=r"1 problem\(s\); 1 file\(s\) are done\n.*a.wav is there, and not made of it"):
        enhance_folder(run, source, tmp_path / "out")
    sound(tmp_path / "other/deep/a.wav", 6)
    made = (tmp_path / "out/deep/a.wav").read_bytes()
    with pytest.raises(ValueError, match="is there, and not made of it"):
        enhance_folder(run, tmp_path / "other", tmp_path / "out")
    assert (tmp_path / "out/a.wav").read_bytes() == mine and (tmp_path / "out/deep/a.wav").read_bytes() == made


NAMES = st.lists(
    st.sampled_from(["a", "A", ".", ".wav", ".WAV", ".ogg", ".Flac", ".wave", ".x"]), min_size=1, max_size=6
)
AUDIO = NAMES.map("".join).filter(lambda name: Path(name).suffix.lower() in ENDINGS)


@settings(deadline=None, derandomize=True, max_examples=300, database=None)
@given(AUDIO, AUDIO)
@example("a.ogg", "a.ogg.wav")
@example("a.WAV", "a.WAV.wav")
@example("a.ogg.wav", "a.ogg.wav.wav")
def test_no_two_inputs_share_an_output(one, other):
    names = [_output_name(Path("deep", name)) for name in (one, other)]
    assert (names[0] == names[1]) == (one == other) and all(name.suffix == ".wav" for name in names)


def test_names_that_differ_by_an_ending_are_kept_apart(run, tmp_path):
    for seed, name in enumerate(("a.wav", "a.WAV", "a.ogg", "a.ogg.wav", "a.ogg.wav.wav", "a.WAV.wav")):
        sound(tmp_path / "in" / name, seed)
    enhance_folder(run, tmp_path / "in", tmp_path / "out")
    assert len({file.read_bytes() for file in (tmp_path / "out").glob("*.wav")}) == 6
    assert pd.read_csv(tmp_path / "out/predictions.csv").file.nunique() == 6


def test_predictions_add_up(runs, source, tmp_path, capsys):
    output = tmp_path / "out"
    enhance_folder(runs["jt"], source / "a.wav", output)
    first = pd.read_csv(output / "predictions.csv", dtype=str).iloc[0]
    enhance_folder(runs["jt"], sound(tmp_path / "b.wav", 3), output)
    assert "replaced" not in capsys.readouterr().err
    enhance_folder(runs["classifier_clean"], source, output)
    assert "1 earlier row(s) replaced" in capsys.readouterr().err
    table = pd.read_csv(output / "predictions.csv", dtype=str)
    assert list(table.file) == [str(source / "a.wav"), str(tmp_path / "b.wav"), str(source / "deep/a.wav")]
    assert first.probability != table.probability[0]
    of = [_name(runs[name].folder) for name in ("classifier_clean", "jt", "classifier_clean")]
    assert table.run.tolist() == of and table.strength.fillna("").tolist() == ["", "1.0", ""]


def test_rows_of_before_the_run_was_named_are_kept(run, source, tmp_path):
    """Whole, with the columns that they had; what is made anew says of what run, and at what strength."""
    (tmp_path / "out").mkdir()
    old = f"file,intent,mine\n/gone.wav,lamp,a note\n{source / 'a.wav'},lamp,another\n"
    (tmp_path / "out/predictions.csv").write_text(old)
    enhance_folder(run, source, tmp_path / "out", strength=0.5)
    table = pd.read_csv(tmp_path / "out/predictions.csv", dtype=str, keep_default_na=False)
    assert list(table) == ["file", "run", "strength", "intent", "mine", *CLASSIFIED[1:]]
    kept, made = table.iloc[0], table.iloc[1:]
    assert kept.tolist() == ["/gone.wav", "", "", "lamp", "a note", "", "", ""]
    assert set(made.run) == {_name(run.folder)} and set(made.strength) == {"0.5"}


@pytest.mark.parametrize("content", ["mine\n1\n", "", "file\n1,2,3\n", "a;file\n1;2\n", "\x00", "\ud800"])
def test_predictions_of_somebody_else_are_left_alone(content, run, source, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/predictions.csv").write_bytes(content.encode(errors="surrogatepass"))
    with pytest.raises(ValueError, match=r"predictions.csv: not a table with a row per file .*; move it away"):
        enhance_folder(run, source, tmp_path / "out")
    assert bytes_of(tmp_path / "out") == {"predictions.csv": content.encode(errors="surrogatepass")}


MISHAPS = [OSError(5, "Input/output error"), MemoryError(), RuntimeError("can't allocate\nmemory"), ValueError("x")]
MISHAPS += [FloatingPointError("not finite"), OverflowError("too large"), KeyboardInterrupt(), SystemError("a fault")]


@pytest.mark.parametrize("error", MISHAPS, ids=lambda error: type(error).__name__)
def test_a_file_that_fails_costs_no_other(error, run, source, tmp_path, monkeypatch):
    sound(source / "z.wav", 3)
    read = module.read_audio

    def spoilt(file):
        if file.parent.name == "deep":
            raise error
        return read(file)

    monkeypatch.setattr(module, "read_audio", spoilt)
    ordinary = not isinstance(error, KeyboardInterrupt | SystemError)
    with pytest.raises(ValueError if ordinary else type(error)) as caught:
        enhance_folder(run, source, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    assert [Path(file).name for file in table.file] == (["a.wav", "z.wav"] if ordinary else ["a.wav"])
    if ordinary:
        assert str(caught.value).count("\n") == 1 and f"{source / 'deep/a.wav'}: " in str(caught.value)
    monkeypatch.undo()
    enhance_folder(run, source, tmp_path / "out")
    assert len(pd.read_csv(tmp_path / "out/predictions.csv")) == 3


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_what_was_ended_at_a_wav_is_gone_on_with(error, run, source, tmp_path, monkeypatch):
    with monkeypatch.context() as ended:
        ended.setattr(module, "write_wav", Mock(side_effect=error))
        with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else ValueError):
            enhance_folder(run, source, tmp_path / "out")
    with monkeypatch.context() as ended:
        write = module.write_wav
        ended.setattr(module, "write_wav", lambda *given: (write(*given), sys.exit("killed")))
        with pytest.raises(SystemExit):
            enhance_folder(run, source, tmp_path / "out")
    assert len(enhance_folder(run, source, tmp_path / "out")) == 2
    assert len(pd.read_csv(tmp_path / "out/predictions.csv")) == 2


def test_what_is_clipped_is_told(run, tmp_path, capsys):
    file = tmp_path / "loud.wav"
    soundfile.write(file, 5 * np.random.default_rng(0).normal(size=8000), 8000, subtype="FLOAT")
    enhance_folder(run, file, tmp_path / "out", strength=0.0)
    assert re.search(r"loud\.wav: [78]\d\.\d\d% of its samples are clipped", capsys.readouterr().err)


def test_what_is_skipped_is_told(run, source, tmp_path, capsys):
    (source / "notes.txt").write_text("")
    (source / "gone.wav").symlink_to(source / "nowhere.wav")
    (source / "loop.wav").symlink_to(source / "loop.wav")
    (source / "linked").symlink_to(source / "deep")
    os.mkfifo(source / "pipe.wav")
    enhance_folder(run, source, tmp_path / "out")
    told = capsys.readouterr().err
    assert "Skipped, as no audio file or in the output folder: 5 (" in told
    assert all(name in told for name in ("notes.txt", "gone.wav", "loop.wav", "linked", "pipe.wav"))


def test_a_folder_that_cannot_be_opened_is_told(run, source, tmp_path, monkeypatch):
    scandir = os.scandir

    def closed(folder):
        if Path(folder).name == "deep":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.raises(ValueError, match=r"1 file\(s\) are done\n.*Permission denied: .*deep"):
        enhance_folder(run, source, tmp_path / "out")


def test_names_that_break_lines_or_are_no_text(run, tmp_path):
    names = ["a\nb.wav", "a\rb.wav", 'a",b.wav', "\u00e4.wav", " .wav", "-.wav", "NA.wav"]
    for seed, name in enumerate(names):
        sound(tmp_path / "in" / name, seed)
    for _ in range(2):
        enhance_folder(run, tmp_path / "in", tmp_path / "out")
        table = pd.read_csv(tmp_path / "out/predictions.csv")
        assert sorted(table.file) == sorted(_name(tmp_path / "in" / name) for name in names)


def test_a_name_that_is_no_text_is_told(run, source, tmp_path):
    (source / "\udcff.wav").write_bytes((source / "a.wav").read_bytes())
    with pytest.raises(ValueError, match="2 file"):  # libsndfile cannot be given the name
        enhance_folder(run, source, tmp_path / "out")
    assert _name(Path("/\udcff.wav")) == "/\\udcff.wav"


@pytest.mark.parametrize("ending", ["", ".x", ".flac", ".WAV"])
def test_a_file_is_read_whatever_its_ending(ending, run, tmp_path):
    enhance_folder(run, sound(tmp_path / f"in/a{ending}"), tmp_path / "out")
    assert (tmp_path / f"out/a{ending}.wav").is_file()


def wav(rate: int, samples: int, value: float = 0.1) -> bytes:
    """A float wav whose header says any rate at all."""
    data = np.full(samples, value, np.float32).tobytes()
    head = (3).to_bytes(2, "little") + (1).to_bytes(2, "little") + rate.to_bytes(4, "little")
    head += (4 * rate % 2**32).to_bytes(4, "little") + (4).to_bytes(2, "little") + (32).to_bytes(2, "little")
    form = b"WAVEfmt " + (16).to_bytes(4, "little") + head + b"data" + len(data).to_bytes(4, "little") + data
    return b"RIFF" + len(form).to_bytes(4, "little") + form


ABSURD = {
    "a sample a second": wav(1, 1000),
    "a rate of gigahertz": wav(2**31 - 1, 1000),
    "a rate of 99 Hz": wav(99, 1000),
    "loud beyond float32's square": wav(8000, 1000, 1e30),
    "the largest numbers": wav(8000, 1000, 3e38),
    "infinite": wav(8000, 1000, np.inf),
    "no numbers": wav(8000, 1000, np.nan),
    "no samples": wav(8000, 0),
}


@pytest.mark.parametrize("name", ABSURD)
def test_absurd_sounds_are_told_and_cost_no_other(name, run, source, tmp_path):
    (source / "b.wav").write_bytes(ABSURD[name])
    with warnings.catch_warnings(), pytest.raises(ValueError, match=r"1 problem\(s\); 2 file\(s\) are done\n.*b.wav: "):
        warnings.simplefilter("error")
        enhance_folder(run, source, tmp_path / "out")
    assert not (tmp_path / "out/b.wav").exists() and len(pd.read_csv(tmp_path / "out/predictions.csv")) == 2


def test_memory_that_is_not_there_costs_one_file(tiny_runs, source, tmp_path, monkeypatch):
    """As if the machine had a third of a gigabyte left."""
    soundfile.write(source / "b.wav", np.zeros(10_000_000, np.int16), 1000)
    taken = int(re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    values = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": int((taken + 2**30 / 3) / 0.9) // 4096}
    monkeypatch.setattr(os, "sysconf", values.get)
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, limits[1]))  # an earlier test may have set one
    try:
        with pytest.raises(SystemExit, match=r"1 problem\(s\); 2 file\(s\) are done\n.*b.wav: .*memory"):
            main([str(tiny_runs["jt"]), str(source), str(tmp_path / "out"), "--device", "cpu"])
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)
    assert len(pd.read_csv(tmp_path / "out/predictions.csv")) == 2


@pytest.mark.parametrize(
    "device", ["cuda:7", "cuda:999999999999", "mps", "meta", "abacus", "", "cpu:3", "CPU", "cuda:-1"]
)
def test_a_device_that_is_not_there(device, tiny_runs, source, tmp_path):
    with pytest.raises(SystemExit, match=r"ConfigError: device=.*: (must be auto, cpu or cuda|torch sees .* GPU here)"):
        main([str(tiny_runs["jt"]), str(source), str(tmp_path / "out"), "--device", device])
    with pytest.raises(ValueError, match="device="):
        load_run(tiny_runs["jt"], device)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("strategy", ["jt", "bn", "classifier_clean"])
@pytest.mark.parametrize("scale", [1e20, 1e38])
def test_finite_weights_that_overflow_predict_nothing(strategy, scale, tiny_runs):
    run = load_run(tiny_runs[strategy])
    part = run.model.backend if hasattr(run.model, "backend") else run.model
    with torch.no_grad():
        for weights in part.parameters():
            weights.copy_(weights.sign() * scale)
    wave = 0.1 * torch.randn(8000, generator=torch.Generator().manual_seed(0))
    with pytest.raises(FloatingPointError, match="not finite"):
        run.process(wave)
    if strategy != "bn":
        with pytest.raises(FloatingPointError, match="not finite"):
            run.classify(wave[None])


@pytest.mark.parametrize("wave", [torch.full((800,), value) for value in (1e20, 1e38, torch.inf, torch.nan)])
@pytest.mark.parametrize("strategy", ["jt", "bn", "classifier_clean"])
def test_sounds_that_overflow_predict_nothing(strategy, wave, runs):
    with pytest.raises(FloatingPointError, match="not finite"):
        runs[strategy].process(wave)


@pytest.mark.parametrize(("samples", "rate"), [(0, 16_000), (800, 0), (800, -1), (800, 10**9), (10**7, 100)])
def test_no_sound_or_no_rate(samples, rate, run):
    with pytest.raises(ValueError, match="expected"):
        run.process(torch.zeros(1).expand(samples), rate)


def test_two_at_once_lose_no_row(run, tmp_path):
    """Into one folder, as two terminals would."""
    for name in ("one", "two"):
        for number in range(8):
            sound(tmp_path / name / f"{name}{number}.wav", number)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: enhance_folder(run, tmp_path / name, tmp_path / "out"), ("one", "two")))
    rows = pd.read_csv(tmp_path / "out/predictions.csv").file.map(lambda file: Path(file).stem)
    assert sorted(rows) == sorted(f"{name}{number}" for name in ("one", "two") for number in range(8))
