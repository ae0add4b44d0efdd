"""``jointlib COMMAND ...``. Each command imports what it needs, so that --help is fast."""

import inspect
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypedDict

import tyro
from tyro.conf import DisallowNone, Positional, PositionalMetavarFromFieldName, PositionalRequiredArgs

from jointlib import OUTSIDE


class Start(TypedDict, total=False):
    profile: str
    strategy: str


commands = tyro.extras.SubcommandApp()


@commands.command
def train(*options: str) -> None:
    """Train and evaluate one run, and print its folder. The defaults are those of the profile and the strategy.

    Example: jointlib train --profile quick --strategy jt --alpha 0.5 --snr-db 0 5
    """
    from jointlib.config import Config, load_config

    # Profile and strategy set the defaults of the other options; values that differ are passed as overrides.
    start, others = tyro.cli(Start, args=options, add_help=False, return_unknown_args=True)
    # Without per_strategy, whose values it has already: they would replace what the command line gives.
    plain, about = load_config(**start).model_copy(update={"per_strategy": {}}), inspect.getdoc(train)
    given = tyro.cli(Config, prog="jointlib train", description=about, args=others, default=plain)
    overrides = {name: value for name, value in given if value != getattr(plain, name)}

    from jointlib.runs.fit import fit
    from jointlib.support.ranks import is_first, together

    with together():
        folder = fit(load_config(**start, **overrides))
        if is_first():
            if remark := json.loads((folder / "metrics.json").read_text())["remark"]:
                print(f"The classifier has learnt nothing: {remark}", file=sys.stderr)
            print(folder)


@commands.command
def enhance(run: Path, input: Path, output: Path, strength: float = OUTSIDE, overwrite: bool = False) -> None:
    """Enhance and classify audio files with a finished run; the exit status is 1 if a file fails.

    Example: jointlib enhance detached recordings enhanced

    Args:
        run: folder of a finished run, or a shipped model: detached, jt, bn, classifier_clean or classifier_noisy
        input: an audio file, or a folder of them
        output: folder for the enhanced files and predictions.csv; for a single file, OUT.wav
        strength: 1: enhanced speech only, as in training; 0: the input; values in between mix the two
        overwrite: replace files that exist, but never an input
    """
    from jointlib.runs.enhance import enhance_files

    failed = enhance_files(run, input, output, strength=strength, overwrite=overwrite)
    raise SystemExit(f"{failed} file(s) failed; predictions.csv says why" if failed else 0)


@commands.command
def doctor(path: Positional[Path | None] = None, profile: str | None = None) -> None:
    """Check speech and noise, and list errors and warnings; the exit status is 1 if there are errors.

    Example: jointlib doctor --profile mine.yaml

    Args:
        path: speech in the layout of Fluent Speech Commands, or noise in that of MS-SNSD
        profile: or the name or YAML file of a profile, to check the speech and noise that it uses
    """
    if (path is None) == (profile is None):
        raise ValueError("jointlib doctor examines either a PATH or a --profile")
    from jointlib.config import load_config
    from jointlib.corpora.doctor import examine, examine_profile

    found = examine(path) if profile is None else examine_profile(load_config(profile))
    print(*found, sep="\n\n")
    raise SystemExit(int(any(diagnosis.errors for diagnosis in found)))


@commands.command(name="export")
def export_run(run: Path, output: Path) -> None:
    """Export a finished run as TorchScript, which needs only torch, after checking that both have equal outputs.

    Example: jointlib export results/quick/runs/bn_alpha0.5_seed0 bn.pt

    Args:
        run: folder of a finished run
        output: file to write; OUTPUT.json beside it says how to use it
    """
    from jointlib.runs.export import export
    from jointlib.runs.run import load_run

    print(f"{output}, {export(load_run(run), output)}")


@commands.command
def report(profile: str = "quick") -> None:
    """Write a report on a profile's finished runs, and print its path.

    Example: jointlib report --profile beyond

    Args:
        profile: name of a profile, or path of a YAML file
    """
    from jointlib.findings.report import write_report

    print(write_report({"PROFILE": profile}))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. Errors caused by files, values or the machine are one line; others keep their traceback."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        if given == ["--version"]:
            print(f"jointlib {version('jointlib')}")
        elif given[:1] == ["train"]:  # its options are the fields of Config
            train(*given[1:])
        else:
            about = "Joint training of speech enhancement and intent classification. --version prints the version."
            style = (PositionalRequiredArgs, PositionalMetavarFromFieldName, DisallowNone)
            commands.cli(prog="jointlib", description=about, args=given, config=style)
    except KeyboardInterrupt:
        print("Interrupted; finished work is kept", file=sys.stderr)
        raise SystemExit(130) from None
    except (ArithmeticError, MemoryError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f"{type(error).__name__}: {str(error) or 'not enough memory'}") from error


if __name__ == "__main__":
    main()
