"""How commands end: errors, Ctrl-C, a closed pipe, a killed parent."""

import importlib
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path

import psutil
import pytest

from jointlib.__main__ import COMMANDS
from jointlib.__main__ import main as jointlib
from jointlib.support.command import command, command_line

POOL = """
import sys, time
from jointlib.support.command import command
from jointlib.support.workers import fresh_processes

@command
def main(arguments):
    with fresh_processes(2) as pool:
        jobs = [pool.submit(time.sleep, {seconds}) for _ in range(3)]
        print("started", flush=True)
        {then}

if __name__ == "__main__":
    main()
"""
WAITING = POOL.format(then="[job.result() for job in jobs]", seconds=60)
IDLE = POOL.format(then="time.sleep(60)", seconds=0)


def started(script: str, **options) -> tuple[subprocess.Popen, list[psutil.Process]]:
    """A script of its own session with its two workers at work."""
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=-1, stderr=-1, text=True, start_new_session=True, **options
    )
    assert process.stdout.readline() == "started\n"
    for _ in range(200):
        children = psutil.Process(process.pid).children(recursive=True)
        if len(workers := [child for child in children if "spawn_main" in " ".join(child.cmdline())]) == 2:
            break
        time.sleep(0.05)
    time.sleep(0.3)  # they take up their jobs
    return process, workers


def gone(workers: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(workers, timeout=5)
    for worker in alive:
        with suppress(psutil.NoSuchProcess):
            worker.kill()
    return not alive


@pytest.mark.parametrize("script", [WAITING, IDLE], ids=["at work", "idle"])
@pytest.mark.parametrize("to_all", [True, False], ids=["from a terminal", "to the parent alone"])
def test_ctrl_c_ends_a_command_and_its_workers_in_a_line(to_all, script):
    process, workers = started(script)
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=10)
    assert process.returncode == 130 and told == "Interrupted; what was finished is kept\n"
    assert gone(workers)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_do_not_outlive_a_killed_command(number):
    process, workers = started(WAITING)
    process.send_signal(number)
    process.communicate(timeout=10)
    assert gone(workers)


def test_an_error_does_not_wait_for_the_workers():
    process, workers = started(POOL.format(then="time.sleep(1); raise ValueError('spoilt')", seconds=60))
    _, told = process.communicate(timeout=10)
    assert (process.returncode, told) == (1, "ValueError: spoilt\n") and gone(workers)


@pytest.mark.parametrize("installed", [False, True])
@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_while_a_command_is_loaded(name, installed, tmp_path):
    script = tmp_path / "jointlib"  # as pip writes it
    script.write_text("import sys\nfrom jointlib.__main__ import main\nsys.exit(main())")
    start = [str(script)] if installed else ["-m", "jointlib"]
    process = subprocess.Popen([sys.executable, "-v", *start, name, "--help"], stdout=-1, stderr=-1, text=True)
    for line in process.stderr:
        if line.startswith(("import 'jointlib.support'", "import 'numpy'")):
            break
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode in (-signal.SIGINT, 130) and "Traceback" not in told


def test_a_command_in_the_background_stays_deaf_to_ctrl_c():
    script = "import signal, sys; sys.argv = ['-m']; import jointlib; print(int(signal.getsignal(signal.SIGINT)))"
    for background, handler in ((False, signal.SIG_DFL), (True, signal.SIG_IGN)):
        deaf = partial(signal.signal, signal.SIGINT, signal.SIG_IGN) if background else None
        printed = subprocess.run([sys.executable, "-c", script], preexec_fn=deaf, stdout=-1, text=True, check=True)
        assert int(printed.stdout) == handler


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_ends_in_this_way_and_has_help_with_an_example(name, capsys):
    assert importlib.import_module(COMMANDS[name][0]).main.__wrapped__ is not None
    with pytest.raises(SystemExit) as ended:
        jointlib([name, "--help"])
    told = capsys.readouterr().out
    assert not ended.value.code and told.startswith(f"usage: jointlib {name} ")
    assert f"\n  jointlib {name} " in told and max(map(len, told.splitlines())) <= 120


def test_help_is_quick_and_lists_the_commands():
    script = (
        "import sys; from jointlib.__main__ import main\ntry: main(['--help'])\nfinally: print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.endswith("False\n") and all(f"\n  {name} " in told for name in COMMANDS)


@pytest.mark.parametrize("known", ["0123456789ab-dirty", None])
def test_version_and_where_known_the_commit_in_a_line(known, monkeypatch, capsys):
    monkeypatch.setattr("jointlib.__main__.commit", lambda: known)
    with pytest.raises(SystemExit) as ended:
        jointlib(["--version"])
    assert not ended.value.code
    assert capsys.readouterr().out == f"jointlib {version('jointlib')}{f', commit {known}' if known else ''}\n"


@pytest.mark.parametrize(("given", "problem"), [([], "required: COMMAND"), (["trian"], "invalid choice: 'trian'")])
def test_no_such_command(given, problem, capsys):
    with pytest.raises(SystemExit) as ended:
        jointlib(given)
    assert ended.value.code == 2 and problem in capsys.readouterr().err


TALKING = """
import sys
from jointlib.support.command import command, command_line

@command
def main(arguments):
    {then}

main(None)
"""
TALK = {"help": "command_line('x', 'y').parse_args(['--help'])", "much": "[print('word') for _ in range(99_999)]"}
TALK |= {"a word": "print('word')", "an exit status": "print('word'); raise SystemExit(1)", "nothing": "pass"}
TALK |= {"unbuffered": "sys.stdout.reconfigure(line_buffering=True); [print('word') for _ in range(9)]"}


@pytest.mark.parametrize("both", [False, True], ids=["stdout", "stderr too"])
@pytest.mark.parametrize("name", TALK)
def test_a_closed_pipe_is_no_error(name, both):
    reader, writer = os.pipe()
    os.close(reader)
    script, environment = TALKING.format(then=TALK[name]), {**os.environ, "PYTHONUNBUFFERED": ""}
    errors = {"stderr": writer} if both else {"stderr": subprocess.PIPE}
    ended = subprocess.run(
        [sys.executable, "-c", script], stdout=writer, **errors, text=True, check=False, env=environment
    )
    os.close(writer)
    assert ended.returncode == (0 if name == "nothing" else 141) and not ended.stderr


def test_a_closed_pipe_behind_stderr_is_no_error():
    reader, writer = os.pipe()
    os.close(reader)
    script = TALKING.format(then="print('word', file=sys.stderr)")
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    ended = subprocess.run([sys.executable, "-c", script], stdout=-1, stderr=writer, check=False, env=environment)
    os.close(writer)
    assert ended.returncode == 141


def test_a_full_device_is_an_error_in_a_line():
    with Path("/dev/full").open("w") as full:
        script, environment = TALKING.format(then=TALK["a word"]), {**os.environ, "PYTHONUNBUFFERED": ""}
        ended = subprocess.run(
            [sys.executable, "-c", script], stdout=full, stderr=-1, text=True, check=False, env=environment
        )
    assert ended.returncode == 1 and ended.stderr == "OSError: [Errno 28] No space left on device\n"


@pytest.mark.parametrize(
    "error", [ValueError("a"), OSError(5, "b", "c"), MemoryError(), FloatingPointError("d"), RuntimeError("e")]
)
def test_what_a_user_can_cause_is_a_line(error):
    @command
    def main(arguments=None):
        raise error

    with pytest.raises(SystemExit, match=type(error).__name__) as caught:
        main([])
    assert not str(caught.value).endswith(": ")


def test_a_fault_of_the_program_keeps_its_traceback():
    @command
    def main(arguments=None):
        raise AttributeError("nobody could know")

    with pytest.raises(AttributeError):
        main([])


@pytest.mark.parametrize(
    "given", [["--alpha", "1", "--alpha", "2"], ["--alpha", "1", "--alph=1"], ["--set", "a", "--set", "b"]]
)
def test_an_option_given_twice_adds_up_or_is_refused(given, capsys):
    parser = command_line("module", None)
    parser.add_argument("--alpha", type=float)
    parser.add_argument("--set", nargs="+", action="extend")
    if given[0] == "--set":
        assert parser.parse_args(given).set == ["a", "b"]
        return
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(given)
    assert caught.value.code == 2 and "argument --alpha: given twice" in capsys.readouterr().err
