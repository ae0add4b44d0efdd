"""How a command line ends: with an error in a line, or, at Ctrl-C or a closed pipe, with next to nothing."""

import argparse
import functools
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, TextIO

Main = Callable[[Sequence[str] | None], None]
# What files, values and the machine can cause. Anything else is a fault of the program, and keeps its traceback.
MISHAPS = (ArithmeticError, MemoryError, OSError, RuntimeError, ValueError)


def command(main: Main) -> Main:
    """Have a main(arguments) end as the shell expects: exit status 1 and a line (of a list of problems, a line each)
    for `MISHAPS`, 130 and a line at Ctrl-C, 141 and silence where nobody reads the output any more."""

    @functools.wraps(main)
    def run(arguments: Sequence[str] | None = None) -> None:
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see jointlib/__init__.py
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file need not be text
        try:
            try:
                main(arguments)
            finally:
                _flush_output()  # what cannot be written shows here, and not when Python ends
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever is in a hurry gets out at once
            print("Interrupted; what was finished is kept", file=sys.stderr)
            raise SystemExit(128 + signal.SIGINT) from None
        except BrokenPipeError:
            _discard(sys.stderr)  # it may have been this one
            raise SystemExit(128 + signal.SIGPIPE) from None
        except MISHAPS as error:
            raise SystemExit(f"{type(error).__name__}: {str(error) or 'not enough memory'}") from error

    return run


def _flush_output() -> None:
    try:
        print(end="", flush=True)
    except OSError:
        _discard(sys.stdout)
        raise


def _discard(stream: TextIO) -> None:
    """What cannot be written would be tried once more, and complained about, when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Once(argparse.Action):
    """Store an option's value; a second one is an error, and does not take the place of the first."""

    given = False

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None):
        if self.given:
            raise argparse.ArgumentError(self, "given twice")
        self.given = True
        setattr(namespace, self.dest, values)


class _Help(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Defaults are shown; the epilog keeps its lines."""


def command_line(name: str, description: str | None, epilog: str | None = None) -> argparse.ArgumentParser:
    """The parser of ``jointlib NAME``. It takes every option once, unless one is made to ``extend``; what is not given
    is not in the namespace, unless it has a default. The epilog, which ends --help, keeps its lines."""
    given = {"description": description, "epilog": epilog, "formatter_class": _Help}
    parser = argparse.ArgumentParser(f"jointlib {name}".strip(), argument_default=argparse.SUPPRESS, **given)
    parser.register("action", None, Once)
    return parser
