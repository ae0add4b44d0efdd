"""Enhance and classify audio files with a finished run."""

import csv
from pathlib import Path

import soundfile

from jointlib.corpora.audio import read_audio
from jointlib.runs.run import Run, load_run
from jointlib.support.files import write_wav
from jointlib.support.progress import Progress

COLUMNS = ("file", "run", "strength", "intent", "probability", "clipped", "problem")
ENDINGS = {f".{name.lower()}" for name in soundfile.available_formats() if name != "RAW"} | {".aif", ".oga", ".opus"}


def enhance_files(
    run: Path, input: Path, output: Path, *, strength: float = 1.0, overwrite: bool = False, device: str = "auto"
) -> int:
    """Enhance and classify an audio file, or all below a folder, with the `strength` of `Run.process`.

    Enhanced speech is written below the folder `output`, which may lie inside `input`, as 16-bit mono WAV at the
    input's rate and length: a.wav of a.wav, a.flac.wav of a.flac. predictions.csv there has a row per file: intent,
    probability, the fraction of samples clipped at full scale, and the problem of a file that failed; the others go
    on. For a single file, `output` may also be OUT.wav; its row is then in OUT.csv.

    Returns: how many files failed. Raises ValueError: no such strength. FileNotFoundError: no audio file there.
    FileExistsError: an output is an input, or exists and `overwrite` is not set; nothing is written. As `load_run`.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength={strength}: must be 0 (the input as it is) to 1 (all of the enhancement)")
    loaded, targets = load_run(run, device), _targets(input, output)
    table = output.with_suffix(".csv") if output in targets.values() else output / "predictions.csv"
    inputs = {file.resolve() for file in targets}
    for target in (table, *targets.values()):
        if target.resolve() in inputs:
            raise FileExistsError(f"{target}: is an input file; choose another output folder")
        if target.exists() and not overwrite:
            raise FileExistsError(f"{target}: exists; choose another output folder, or replace it with --overwrite")
    table.parent.mkdir(parents=True, exist_ok=True)
    failed = 0
    with table.open("w", newline="", errors="backslashreplace") as stream:
        rows = csv.DictWriter(stream, COLUMNS)
        rows.writeheader()
        with Progress(len(targets), "Enhancing") as progress:
            for file, target in progress.over(targets.items()):
                row = {"file": file, "run": run, "strength": strength}
                try:
                    row |= _enhance_file(loaded, file, target, strength)
                except (ArithmeticError, MemoryError, OSError, RuntimeError, ValueError) as error:
                    row["problem"] = f"{type(error).__name__}: {error}"
                    failed += 1
                rows.writerow(row)
                stream.flush()  # an interruption leaves the rows of the files that are done
    return failed


def _enhance_file(run: Run, file: Path, target: Path, strength: float) -> dict[str, object]:
    """Write the enhanced file, if the run enhances; return its intent and probability, if the run classifies."""
    wave, sample_rate = read_audio(file)
    enhanced, probabilities = run.process(wave, sample_rate, strength=strength)
    row: dict[str, object] = {}
    if probabilities is not None:
        best = int(probabilities.argmax())
        row = {"intent": run.intents[best], "probability": float(probabilities[best])}
    if enhanced is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_wav(target, enhanced, sample_rate)
        row["clipped"] = float((enhanced.abs() > 1).float().mean())
    return row


def _targets(input: Path, output: Path) -> dict[Path, Path]:
    """The output of each input. In a folder, hidden files (macOS writes ._a.wav) and those in `output` are no input."""
    if input.is_file():
        return {input: output if output.suffix == ".wav" else output / f"{input.name.removesuffix('.wav')}.wav"}
    made = output.resolve()
    found = (file for file in sorted(input.rglob("*")) if file.suffix.lower() in ENDINGS and file.is_file())
    files = [file for file in found if file.name[0] != "." and made not in file.resolve().parents]
    if not files:
        raise FileNotFoundError(f"{input}: no audio file there, apart from those in {output}")
    targets = {file: output / f"{str(file.relative_to(input)).removesuffix('.wav')}.wav" for file in files}
    if len(set(targets.values())) < len(files):
        raise FileExistsError(f"{input}: two files would have one output, such as a.ogg and a.ogg.wav; rename one")
    return targets
