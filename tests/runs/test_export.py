"""Exported runs: every network, at lengths that were not traced, from a file that needs torch alone."""

import json
import subprocess
import sys

import pytest
import torch
from conftest import network

from jointlib.runs import export as module
from jointlib.runs.export import export
from jointlib.runs.run import Run, load_run

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
INTENTS = ["a", "b", "c", "d"]
NETWORKS = [("classifier_noisy", {}), ("enhancement", {}), ("jt", {}), ("bn", {}), ("bn_mix", {}), ("jt_mask", {})]


@pytest.mark.parametrize(("strategy", "others"), [*NETWORKS, ("jt", {"frontend_chunk": 512, "stem": None})])
def test_every_network_at_any_length(strategy, others, tmp_path):
    config, model = network(strategy, clip_seconds=0.1, **others)
    about = json.loads(export(Run(tmp_path, config, INTENTS, model.eval()), tmp_path / "run.pt").read_text())
    exported = torch.jit.load(tmp_path / "run.pt")
    for samples in (1600, 4801, 7):
        wave = 0.1 * torch.randn(1, 1, samples)
        with torch.inference_mode():
            wanted = [made for made in model(wave) if made is not None]
            for made, other in zip(exported(wave), wanted, strict=True):
                torch.testing.assert_close(made, other, atol=1e-4, rtol=0)
    assert len(about["output"]) == len(wanted) and about["intents"] == INTENTS and about["sample_rate"] == 16_000
    assert "Device = prim" not in str(exported.inlined_graph)  # it runs on any device


SCRIPT = """
import sys, torch
wave = 0.1 * torch.randn(8000, generator=torch.Generator().manual_seed(0))
enhanced, logits = torch.jit.load(sys.argv[1])(wave[None, None])
torch.save((enhanced[0, 0], logits[0].softmax(dim=0)), sys.argv[2])
assert "jointlib" not in sys.modules
"""


def test_it_needs_torch_alone_and_does_what_the_run_does(tiny_runs, tmp_path):
    export(load_run(tiny_runs["jt"]), tmp_path / "jt.pt")
    subprocess.run([sys.executable, "-c", SCRIPT, tmp_path / "jt.pt", tmp_path / "out.pt"], check=True)
    wave = 0.1 * torch.randn(8000, generator=torch.Generator().manual_seed(0))
    expected = load_run(tiny_runs["jt"]).process(wave, level_db=None)
    for made, wanted in zip(torch.load(tmp_path / "out.pt"), expected, strict=True):
        torch.testing.assert_close(made, wanted, atol=1e-4, rtol=0)


def test_what_differs_is_not_written_and_nothing_is_replaced(tiny_runs, tmp_path, monkeypatch):
    run = load_run(tiny_runs["bn"])
    with monkeypatch.context() as strict:
        strict.setattr(module, "TOLERANCE", -1)
        with pytest.raises(ArithmeticError, match="differs by 0"):
            export(run, tmp_path / "bn.pt")
    assert not list(tmp_path.iterdir())
    export(run, tmp_path / "bn.pt")
    with pytest.raises(FileExistsError, match=r"bn.pt, .*bn.pt.json: exists"):
        export(run, tmp_path / "bn.pt")
