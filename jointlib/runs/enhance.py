"""``jointlib enhance RUN INPUT OUTPUT``: enhance and classify files with a finished run."""

import csv
import os
import re
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import soundfile
from filelock import FileLock

from jointlib.corpora.audio import read_audio
from jointlib.runs.run import Run, load_run
from jointlib.support.command import MISHAPS, command, command_line
from jointlib.support.files import UnusableFile, write_csv, write_wav
from jointlib.support.progress import Progress

ENDINGS = {f".{name.lower()}" for name in soundfile.available_formats()} | {".opus", ".aif"}
MADE = ("file", "run", "strength")
CLASSIFIED = ("intent", "probability", "runner_up", "runner_up_probability")
EXAMPLE = "example:\n  jointlib enhance results/quick/runs/bn_alpha0.5_seed0 recordings enhanced --strength 0.7"


def enhance_file(
    run: Run,
    source: Path,
    target: Path,
    strength: float = 1.0,
    record: Callable[[dict[str, object]], None] = lambda row: None,
) -> dict[str, object]:
    """Write the enhanced file, a 16-bit mono wav at the input's rate and length, and classify it.

    Level and sign, and `strength`, are those of `Run.process`: 0 is the input, 1 all of the enhancement. What is then
    beyond full scale is clipped, and said on stderr. `record` is given the row before the wav is there: a row without
    its wav is made again by the next start, a wav without its row would be taken for somebody else's.

    Returns: file, run, its strength (empty where nothing is enhanced) and, where the run classifies, intent,
        probability, runner_up, runner_up_probability.
    """
    wave, sample_rate = read_audio(source)
    enhanced, probabilities = run.process(wave, sample_rate, strength=strength)
    best = zip(*(values.tolist() for values in probabilities.topk(2)), strict=True) if probabilities is not None else ()
    found = [value for probability, label in best for value in (run.intents[label], probability)]
    made = _name(source), _name(run.folder), "" if enhanced is None else strength
    row = dict(zip((*MADE, *CLASSIFIED), (*made, *found), strict=False))
    record(row)
    if enhanced is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_wav(target, enhanced, sample_rate)
        if clipped := float((enhanced.abs() > 1).float().mean()):
            print(f"{target}: {clipped:.2%} of its samples are clipped at full scale", file=sys.stderr)
    return row


def enhance_folder(run: Run, source: Path, output: Path, strength: float = 1.0) -> pd.DataFrame:
    """Process a file, or every audio file below a folder, into `output`, and add them to predictions.csv there.

    Nothing is replaced but what predictions.csv says was made of the same file, and the rows of such files; a row of
    before the columns run and strength were written keeps all it has. What is no audio by its ending, no regular file
    or lies in `output` is skipped, and named on stderr, as is what the run lacks.

    Returns: a row per file, as `enhance_file`.
    Raises FileNotFoundError: no audio there. UnusableFile: predictions.csv is none of ours. ValueError: `output` is
        where the input lies; or, after the others are done, a line for every file that failed.
    """
    files, problems = _find(source, output)
    top = source.parent if source.is_file() else source
    targets = {file: output / _output_name(file.relative_to(top)) for file in files}
    output.mkdir(parents=True, exist_ok=True)
    with FileLock(output / ".predictions.lock"):  # another process adds its rows before or after
        return _enhance_files(run, targets, output / "predictions.csv", strength, problems)


def _enhance_files(
    run: Run, targets: Mapping[Path, Path], predictions: Path, strength: float, problems: list[str]
) -> pd.DataFrame:
    rows, earlier = [], _read_predictions(predictions)
    enhances, classifies = (hasattr(run.model, part) for part in ("frontend", "backend"))
    for line in _caveats(run, strength):
        print(f"{run.folder.name} {line}", file=sys.stderr)
    columns = dict.fromkeys([*MADE, *earlier, *(CLASSIFIED if classifies else ())])
    write_csv(predictions, earlier.reindex(columns=list(columns)))
    made_of, inputs = set(earlier.file), {_identity(file) for file in targets}
    with predictions.open("a", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns)

        def record(row: Mapping[str, object]) -> None:
            table.writerow(row)  # at once: whatever ends a later file costs no earlier one
            stream.flush()

        with Progress(len(targets), f"Enhancing with {run.folder.name}") as progress:
            for file, target in progress.over(targets.items()):
                try:
                    ours = _name(file) in made_of
                    if enhances and target.exists() and (not ours or _identity(target) in inputs):
                        raise FileExistsError(f"{target} is there, and not made of it; choose another output folder")
                    rows.append(enhance_file(run, file, target, strength, record))
                except MISHAPS as error:
                    problem = str(error).removeprefix(f"{file}: ") or "not enough memory"
                    problems.append(" ".join(f"{file}: {problem}".split()))
    write_csv(predictions, _read_predictions(predictions))
    if again := made_of & {row["file"] for row in rows}:
        print(f"{predictions}: {len(again)} earlier row(s) replaced", file=sys.stderr)
    if problems:
        raise ValueError("\n".join([f"{len(problems)} problem(s); {len(rows)} file(s) are done", *problems]))
    return pd.DataFrame(rows)


def _caveats(run: Run, strength: float) -> list[str]:
    """What must not be expected of a run at this strength."""
    enhances, classifies = (hasattr(run.model, part) for part in ("frontend", "backend"))
    told = {
        "does not enhance: no wav is written": not enhances,
        "does not classify: predictions.csv says nothing of intents": not classifies,
        "does not read the enhanced wave alone: what it classifies is the same at any strength": (
            strength < 1 and enhances and classifies and run.model.waves != 1
        ),
    }
    return [line for line, applies in told.items() if applies]


def _find(source: Path, output: Path) -> tuple[list[Path], list[str]]:
    """The files to process, and what cannot be looked into, a line each."""
    home, top = output.resolve(), source.resolve()
    if home in (top, *([top.parent] if source.is_file() else top.parents)):
        raise ValueError(f"{output}: the output folder must not be the input's, or around it; nothing was written")
    if source.is_file():
        return [source], []  # whatever its ending
    files, skipped, problems = [], [], []
    for folder, below, names in os.walk(source, onerror=lambda error: problems.append(str(error))):
        for path in (Path(folder, name) for name in names):
            taken = path.suffix.lower() in ENDINGS and path.is_file() and home not in path.resolve().parents
            (files if taken else skipped).append(path)
        skipped += [path for name in below if (path := Path(folder, name)).is_symlink()]
    if skipped:
        names = ", ".join(map(str, sorted(skipped)[:5])) + (", ..." if len(skipped) > 5 else "")
        print(f"Skipped, as no audio file or in the output folder: {len(skipped)} ({names})", file=sys.stderr)
    if not files:
        raise FileNotFoundError("; ".join([f"{source}: no audio file there", *problems]))
    return sorted(files), problems


def _output_name(relative: Path) -> Path:
    """a.wav of a.wav, a.ogg.wav of a.ogg, a.WAV.wav of a.WAV, a.ogg.wav.wav of a.ogg.wav: no two files share one."""
    kept = relative.suffix == ".wav" and Path(relative.stem).suffix.lower() not in ENDINGS
    return relative if kept else relative.with_name(f"{relative.name}.wav")


def _name(file: Path) -> str:
    """How predictions.csv calls a file or a run: by its whole path, without what would break a line or is no text."""
    return re.sub(r"[\x00-\x1f\ud800-\udfff]", lambda one: ascii(one[0])[1:-1], str(file.absolute()))


def _identity(file: Path) -> tuple[int, int]:
    """What two names of the same file share."""
    return (found := file.stat()).st_dev, found.st_ino


def _read_predictions(file: Path) -> pd.DataFrame:
    """predictions.csv as text, the last row of every file; UnusableFile if it holds something else."""
    if not file.exists():
        return pd.DataFrame(columns=["file"], dtype=str)
    problem = "expected a column 'file', and no row longer than the first"
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            table = csv.DictReader(stream, strict=True)
            rows, names = list(table), table.fieldnames or ()
        if "file" in names and not any(None in row for row in rows):
            return pd.DataFrame({row["file"]: row for row in rows}.values(), columns=names, dtype=str)
    except (UnicodeDecodeError, csv.Error) as error:
        problem = str(error)
    raise UnusableFile(f"{file}: not a table with a row per file ({problem}); move it away")


def _bound_memory() -> None:
    """What does not fit into memory costs one file then; Linux would kill the process otherwise."""
    if resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        resource.setrlimit(resource.RLIMIT_DATA, (int(0.9 * memory), resource.RLIM_INFINITY))


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """``jointlib enhance``."""
    parser = command_line("enhance", "Enhance and classify audio files with a finished run.", EXAMPLE)
    parser.add_argument("run", type=Path, help="folder of a finished run, e.g. results/quick/runs/jt_alpha0.5_seed0")
    parser.add_argument("input", type=Path, help="an audio file, or a folder of them")
    parser.add_argument("output", type=Path, help="folder for the enhanced wavs and predictions.csv, which is added to")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, or auto: the GPU if there is one")
    strength = "how much of the enhancement: 0 is the input, 1 all of it; in between the input is added back"
    parser.add_argument("--strength", type=float, default=1.0, help=strength)
    given = parser.parse_args(arguments)
    if not 0 <= given.strength <= 1:
        parser.error(f"--strength {given.strength}: must be 0 to 1")
    run = load_run(given.run, given.device)
    if run.config.torch_device.type == "cpu":
        _bound_memory()
    table = enhance_folder(run, given.input, given.output, given.strength)
    print(f"{len(table)} file(s) -> {given.output / 'predictions.csv'}")
