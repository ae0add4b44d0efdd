"""``python -m jointlib.runs.enhance RUN INPUT OUTPUT``: enhance and classify files with a finished run."""

import argparse
from pathlib import Path

import pandas as pd
import soundfile
import torch

from jointlib.corpora.audio import read_audio
from jointlib.runs.run import Run, load_run
from jointlib.support.files import write_csv, write_wav
from jointlib.support.progress import Progress

ENDINGS = {f".{name.lower()}" for name in soundfile.available_formats()} | {".opus", ".aif"}


def enhance_file(run: Run, source: Path, target: Path) -> dict[str, object]:
    """Write the enhanced file, a 16-bit mono wav at the input's rate, length and level, and classify it.

    Returns: file and, where the run classifies, intent, probability, runner_up, runner_up_probability.
    """
    wave, sample_rate = read_audio(source)
    enhanced, probabilities = run.process(wave, sample_rate)
    if enhanced is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_wav(target, enhanced, sample_rate)
    names = ("intent", "probability", "runner_up", "runner_up_probability")
    best = zip(*(values.tolist() for values in probabilities.topk(2)), strict=True) if probabilities is not None else ()
    found = [value for probability, label in best for value in (run.intents[label], probability)]
    return {"file": str(source), **dict(zip(names, found, strict=False))}


def enhance_folder(run: Run, source: Path, output: Path) -> pd.DataFrame:
    """Process a file, or every audio file below a folder, into `output`, and write predictions.csv there.

    FileNotFoundError: no audio there. ValueError lists every file that could not be read, after the others are done.
    """
    found = [source] if source.is_file() else sorted(source.rglob("*"))
    files = [file for file in found if file.suffix.lower() in ENDINGS and file.is_file() and output not in file.parents]
    if not files:
        raise FileNotFoundError(f"{source}: no audio file there")
    top = source.parent if source.is_file() else source
    rows, problems = [], []
    output.mkdir(parents=True, exist_ok=True)
    with Progress(len(files), f"Enhancing with {run.folder.name}") as progress:
        for file in progress.over(files):
            relative = file.relative_to(top)
            if file.suffix != ".wav":  # keep its ending in the name: a.ogg and a.wav may lie side by side
                relative = relative.with_name(f"{relative.name}.wav")
            try:
                rows.append(enhance_file(run, file, output / relative))
            except ValueError as error:
                problems.append(str(error))
    table = pd.DataFrame(rows)
    write_csv(output / "predictions.csv", table)
    if problems:
        raise ValueError("\n".join(problems))
    return table


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m jointlib.runs.enhance", description="Enhance and classify audio.")
    parser.add_argument("run", type=Path, help="folder of a finished run, e.g. results/quick/runs/jt_alpha0.5_seed0")
    parser.add_argument("input", type=Path, help="an audio file, or a folder of them")
    parser.add_argument("output", type=Path, help="folder for the enhanced wavs and predictions.csv")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args(arguments)
    try:
        if given.output.resolve() in (given.input.resolve(), given.input.resolve().parent):
            raise ValueError(f"{given.output}: the output folder must not be the input's; nothing was written")
        table = enhance_folder(load_run(given.run, given.device), given.input, given.output)
    except (OSError, ValueError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
    print(f"{len(table)} file(s) -> {given.output / 'predictions.csv'}")


if __name__ == "__main__":
    main()
