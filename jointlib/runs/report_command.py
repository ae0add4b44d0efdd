"""``jointlib report``: a profile's finished runs on one page."""

from collections.abc import Sequence

from jointlib.config import load_config
from jointlib.runs.report import write_report
from jointlib.support.command import command, command_line


@command
def main(arguments: Sequence[str] | None = None) -> None:
    """``jointlib report``: write report.html of a profile, and print its path."""
    parser = command_line(
        "report", "Gather a profile's finished runs on one page.", "example:\n  jointlib report --profile beyond"
    )
    parser.add_argument("--profile", default="quick", help="a profile's name, or the path of a YAML file")
    print(write_report(load_config(parser.parse_args(arguments).profile)))
