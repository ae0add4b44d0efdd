"""Enhance and classify audio files with a finished run."""

import csv
import sys
from pathlib import Path

from jointlib import OUTSIDE
from jointlib.corpora.audio import ENDINGS, is_audio, read_audio
from jointlib.runs.run import Run, load_run
from jointlib.support.files import write_wav
from jointlib.support.progress import Progress

COLUMNS = ("file", "run", "strength", "intent", "probability", "gain", "problem")
WRITTEN = (".wav", ".flac")  # formats of a single output file; those in a folder are WAV


def enhance_files(
    run: Path, input: Path, output: Path, *, strength: float = OUTSIDE, overwrite: bool = False, device: str = "auto"
) -> int:
    """Enhance and classify an audio file, or all below a folder, with the `strength` of `Run.process`.

    Enhanced speech is written below the folder `output`, which may lie inside `input`, as 16-bit mono WAV at the
    input's rate and length: a.wav of a.wav, a.flac.wav of a.flac. predictions.csv there has a row per file: intent,
    probability, the gain that avoids clipping, and the problem of a file that failed or is silent. A failed file does
    not stop the others. The intent of a file longer than the training clips is that of its loudest clip. For a single
    file, `output` may also be OUT.wav or OUT.flac; its row is then in OUT.csv. The files skipped in a folder are
    counted on standard error.

    Returns: the number of failed files. Raises ValueError: an invalid strength or format. FileNotFoundError: no audio.
    FileExistsError: an output is an input, or exists without `overwrite`; nothing is written. And as `load_run`.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength={strength}: must be between 0 (the input) and 1 (enhanced speech only)")
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
        for file, target in Progress(len(targets), "Enhancing", values=targets.items()):
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
        if probabilities.isnan().any():
            row = {"problem": "silent: no intent"}
    if enhanced is not None:
        row["gain"] = 1 / max(1.0, float(enhanced.abs().max()))
        target.parent.mkdir(parents=True, exist_ok=True)
        write_wav(target, row["gain"] * enhanced, sample_rate)
    return row


def _targets(input: Path, output: Path) -> dict[Path, Path]:
    """The output of each input. In a folder, hidden files (macOS writes ._a.wav) and those in `output` are no input."""
    if input.is_file():
        if output.suffix[1:].lower() not in ENDINGS.split() or output.is_dir():
            return {input: output / f"{input.name.removesuffix('.wav')}.wav"}
        if output.suffix.lower() not in WRITTEN:
            raise ValueError(f"{output}: the output must be {' or '.join(WRITTEN)}; choose another ending")
        return {input: output}
    made = output.resolve()
    found = [file for file in sorted(input.rglob("*")) if file.is_file() and made not in file.resolve().parents]
    files = [file for file in found if is_audio(file) and "/." not in f"/{file.relative_to(input)}"]
    if others := sorted(str(file.relative_to(input)) for file in set(found) - set(files)):
        names = ", ".join([*others[:5], *(["..."] if len(others) > 5 else [])])
        print(f"Skipped, not audio or hidden: {len(others)} files ({names})", file=sys.stderr)
    if not files:
        raise FileNotFoundError(f"{input}: no audio file there, except in {output}")
    targets = {file: output / f"{str(file.relative_to(input)).removesuffix('.wav')}.wav" for file in files}
    if len(set(targets.values())) < len(files):
        raise FileExistsError(f"{input}: two files would have one output, such as a.ogg and a.ogg.wav; rename one")
    return targets
