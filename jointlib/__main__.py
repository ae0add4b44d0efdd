"""``jointlib COMMAND ...``, or ``python -m jointlib COMMAND ...``: whatever can be done without a notebook."""

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import Any

from jointlib.support.command import command, command_line
from jointlib.support.commit import commit

COMMANDS = {  # name: the module whose main(arguments) it is, and what it does
    "doctor": ("jointlib.corpora.doctor", "examine speech and noise before anything is trained with them"),
    "train": ("jointlib.runs.fit", "train and evaluate one run"),
    "enhance": ("jointlib.runs.enhance", "enhance and classify audio files with a finished run"),
    "export": ("jointlib.runs.export", "write a finished run as one file that needs torch alone"),
    "report": ("jointlib.runs.report", "gather a profile's finished runs on one page"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Hand the arguments on to a command. Only its own module is loaded, and torch with it, before it begins."""
    given = sys.argv[1:] if arguments is None else arguments
    module, _ = COMMANDS.get(given[0] if given else "", (None, None))
    import_module(module).main(given[1:]) if module else _overview(given)


class _Version(argparse.Action):
    """Print version and, where known, commit; git is asked only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        made_of = commit()
        print(f"jointlib {version('jointlib')}" + (f", commit {made_of}" if made_of else ""))
        parser.exit()


@command
def _overview(arguments: Sequence[str] | None = None) -> None:
    """--help, --version, or an error."""
    listed = "\n".join(f"  {name:<10}{does}" for name, (_, does) in COMMANDS.items())
    epilog = f"commands:\n{listed}\n\njointlib COMMAND --help has its options, their defaults and an example."
    parser = command_line("", "Joint training of speech enhancement and intent classification.", epilog)
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help="one of those below, then its arguments")
    parser.add_argument("--version", action=_Version, nargs=0, help="print version and, where known, commit")
    parser.parse_args(arguments)


if __name__ == "__main__":
    main()
