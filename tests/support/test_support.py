"""Whole files, progress in a log, and the share of a batch that each process takes."""

import json
import sys
import time
from threading import Event, Thread

import pytest
import torch
import torch.distributed as dist
from filelock import FileLock

from jointlib.support import ranks
from jointlib.support.files import locked, replacing, write_json
from jointlib.support.progress import Progress


def test_a_file_is_whole_or_what_it_was(tmp_path):
    file = tmp_path / "record.json"
    write_json(file, {"seed": 0})
    with pytest.raises(OSError, match=r"No space left.*record.json could not be written and is unchanged"):  # noqa: SIM117
        with replacing(file) as stream:
            stream.write(b"{")
            raise OSError(28, "No space left on device")
    assert json.loads(file.read_text()) == {"seed": 0}


def test_whoever_waits_for_a_lock_says_so_once(tmp_path, capfd):
    file, taken = tmp_path / ".lock", Event()

    def hold() -> None:
        with FileLock(file):
            taken.set()
            time.sleep(0.3)

    Thread(target=hold).start()
    taken.wait()
    for _ in range(2):  # the second time nobody holds it
        with locked(file, "reading speech"):
            pass
    assert capfd.readouterr().err == f"waiting for another process: reading speech ({file})\n"


def test_a_log_gets_a_line_for_each_tenth(capfd, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert sum(Progress(200, "Scoring", values=range(200))) == 19_900
    lines = [line for line in capfd.readouterr().err.split("\n") if "Scoring" in line]
    assert 10 <= len(lines) <= 13 and "200/200" in lines[-1]


@pytest.mark.parametrize(("rows", "processes"), [(8, 2), (5, 2), (1, 3), (3, 4)])
def test_every_process_has_as_many_rows_and_together_all(monkeypatch, rows, processes):
    monkeypatch.setattr(ranks, "processes", lambda: processes)
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        shares.append(ranks.own(torch.arange(rows)))
    assert len({len(share) for share in shares}) == 1
    assert set(torch.cat(shares).tolist()) == set(range(rows))
