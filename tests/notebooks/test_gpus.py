"""Several GPUs, by counting and without one: no two cells hold the same one, and a killed cell gives its own back."""

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from jointlib.config import CHECKOUT

TAKE_GPU = re.search(r'TAKE_GPU = """(.*?)"""', (CHECKOUT / "Snakefile").read_text(), re.S)[1]


def cell(folder: Path, gpus: str, work: str) -> subprocess.Popen:
    """A process that takes a GPU, as Snakemake's shell has it, and then works."""
    environment = os.environ | {"TMPDIR": str(folder), "CUDA_VISIBLE_DEVICES": gpus}
    script = f"set -euo pipefail; {TAKE_GPU} {work}"
    return subprocess.Popen(["bash", "-c", script], env=environment, stdout=subprocess.PIPE, text=True, cwd=folder)


def test_no_two_cells_hold_the_same_gpu(tmp_path):
    place = '"on$CUDA_VISIBLE_DEVICES"'
    work = f"mkdir {place} && sleep 0.3 && rmdir {place} && echo $CUDA_VISIBLE_DEVICES"
    cells = [cell(tmp_path, "0,1,GPU-2a", work) for _ in range(6)]  # mkdir fails where another is
    held = Counter(one.communicate(timeout=120)[0].strip() for one in cells)
    assert [one.returncode for one in cells] == [0] * 6
    assert set(held) == {"0", "1", "GPU-2a"}


def test_a_killed_cell_gives_its_gpu_back(tmp_path):
    first = [cell(tmp_path, "0,1", "echo $CUDA_VISIBLE_DEVICES; exec sleep 60") for _ in range(2)]
    assert {one.stdout.readline().strip() for one in first} == {"0", "1"}
    waiting = cell(tmp_path, "0,1", "echo $CUDA_VISIBLE_DEVICES")
    first[0].kill()
    assert waiting.communicate(timeout=60)[0].strip() in ("0", "1")
    first[1].kill()


@pytest.mark.parametrize("gpus", ["", "3"])
def test_where_there_is_nothing_to_choose_nothing_is_chosen(tmp_path, gpus):
    assert cell(tmp_path, gpus, 'echo "$CUDA_VISIBLE_DEVICES"').communicate(timeout=60)[0].strip() == gpus
    assert not list(tmp_path.iterdir())
