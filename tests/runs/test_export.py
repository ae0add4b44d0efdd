"""Exported runs: every strategy, at lengths that were not traced, from a file that knows nothing of this library."""

import json
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from conftest import network

from jointlib.runs import export as module
from jointlib.runs.export import export, main
from jointlib.runs.report import main as report
from jointlib.runs.run import Run, load_plain_run, load_run
from jointlib.strategies import STRATEGIES

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
INTENTS = ["a", "b", "c", "d"]


def exported(run, folder):
    export(run, folder / "run.pt")
    return torch.jit.load(folder / "run.pt"), json.loads((folder / "run.pt.json").read_text())


@pytest.mark.parametrize(
    ("strategy", "others"), [*((name, {}) for name in STRATEGIES), ("jt", {"frontend_chunk": 512})]
)
def test_every_strategy_at_any_length(strategy, others, tmp_path):
    config, model = network(strategy, clip_seconds=0.1, **others)
    found, about = exported(Run(tmp_path, config, INTENTS, model.eval()), tmp_path)
    for samples in (1600, 4801, 7):
        wave = 0.1 * torch.randn(1, 1, samples)
        with torch.inference_mode():
            wanted = [made for made in model(wave) if made is not None]
            for made, other in zip(found(wave), wanted, strict=True):
                torch.testing.assert_close(made, other, atol=1e-4, rtol=0)
    assert len(about["output"]) == len(wanted) and about["intents"] == INTENTS and about["sample_rate"] == 16_000


def test_it_needs_torch_alone_and_does_what_the_run_does(tiny_runs, tmp_path):
    main([str(tiny_runs["jt"]), str(tmp_path / "jt.pt")])
    script = """
import sys, torch
wave = 0.1 * torch.randn(9001, generator=torch.Generator().manual_seed(0))
enhanced, logits = torch.jit.load(sys.argv[1])(wave[None, None])
torch.save((enhanced[0, 0], logits[0].softmax(dim=0)), sys.argv[2])
assert "jointlib" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script, tmp_path / "jt.pt", tmp_path / "out.pt"], check=True)
    wave = 0.1 * torch.randn(9001, generator=torch.Generator().manual_seed(0))
    for made, wanted in zip(
        torch.load(tmp_path / "out.pt"), load_run(tiny_runs["jt"]).process(wave, level_db=None), strict=True
    ):
        torch.testing.assert_close(made, wanted, atol=1e-4, rtol=0)


def test_what_differs_is_not_written_and_nothing_is_replaced(tiny_runs, tmp_path, monkeypatch):
    run = load_plain_run(tiny_runs["bn"])
    monkeypatch.setattr(module, "TOLERANCE", -1)
    with pytest.raises(SystemExit, match="differs by 0"):
        main([str(tiny_runs["bn"]), str(tmp_path / "bn.pt")])
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    export(run, tmp_path / "bn.pt")
    with pytest.raises(FileExistsError, match=r"bn.pt, .*bn.pt.json: is there"):
        export(run, tmp_path / "bn.pt")


def test_a_report_from_the_command_line(tiny_runs, tiny_profile, capsys):
    report(["--profile", str(tiny_profile)])
    page = Path(capsys.readouterr().out.strip())
    assert page.name == "report.html" and "Table 2" in page.read_text()


def test_a_full_disk_leaves_nothing_in_the_way(tiny_runs, tmp_path, monkeypatch):
    run = load_plain_run(tiny_runs["bn"])
    with monkeypatch.context() as full:
        full.setattr(module, "write_atomically", Mock(side_effect=OSError(28, "No space left on device")))
        with pytest.raises(OSError, match="No space"):
            export(run, tmp_path / "bn.pt")
    assert not list(tmp_path.iterdir())
    export(run, tmp_path / "bn.pt")
