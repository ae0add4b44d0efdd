import json

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch.utils.checkpoint import checkpoint

from jointlib.config import load_config
from jointlib.runs.folder import FILES
from jointlib.runs.run import list_runs, load_run
from jointlib.train import learning_rate
from jointlib.runs.fit import fit, main


def files(folder):
    return {name: (folder / name).read_bytes() for name in FILES if name != "record.json"}


@pytest.mark.parametrize("strategy", ["enhancement", "cascade_enhanced", "bn_mix"])
def test_a_run_is_complete_and_repeats_to_the_last_bit(profile, tmp_path, strategy):
    folder = fit(load_config(profile, strategy=strategy))
    again = fit(load_config(profile, strategy=strategy, results=str(tmp_path / "again")))
    assert folder != again and files(folder) == files(again)
    assert not list(folder.parent.glob("*.partial"))
    scores = pd.read_csv(folder / "per_utterance.csv")
    assert len(scores) == 12
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["mean"]["mse_enhanced"] == pytest.approx(scores.mse_enhanced.mean())
    record = json.loads((folder / "record.json").read_text())
    assert record["seed"] == 0 and record["versions"]["torch"] == torch.__version__.partition("+")[0]


def test_checkpointing_changes_no_number_of_a_run(profile, tmp_path, monkeypatch):
    folder, calls = fit(load_config(profile, strategy="classifier_noisy")), []
    monkeypatch.setattr("jointlib.tcn.checkpoint", lambda *args, **how: calls.append(1) or checkpoint(*args, **how))
    config = load_config(profile, strategy="classifier_noisy", checkpointing=True, results=str(tmp_path / "again"))
    assert files(fit(config)) == files(folder)
    assert calls


def test_a_finished_run_is_not_trained_again(profile):
    config = load_config(profile, strategy="classifier_noisy")
    folder = fit(config)
    stamp = (folder / "weights.safetensors").stat().st_mtime_ns
    assert fit(config) == folder
    assert (folder / "weights.safetensors").stat().st_mtime_ns == stamp


def test_another_configuration_under_the_same_name_is_refused(profile):
    fit(load_config(profile, strategy="classifier_noisy"))
    profile.write_text(profile.read_text() + "learning_rate: 0.5\n")
    with pytest.raises(FileExistsError, match=r"learning_rate: 0.002 there, 0.5 now"):
        fit(load_config(profile, strategy="classifier_noisy"))


def test_pretrained_parts_are_runs_of_their_own(profile):
    folder = fit(load_config(profile, strategy="bn", init="pretrained"))
    origins = json.loads((folder / "config.json").read_text())["origins"]
    assert origins == {"frontend": "enhancement_seed0", "backend": "bn_frozen_seed0"}
    assert {"enhancement_seed0", "bn_frozen_seed0"} <= {path.name for path in list_runs(folder.parents[1]).folder}


def test_a_cascade_consists_of_its_parts(profile):
    cascade = fit(load_config(profile, strategy="cascade_clean"))
    weights = load_file(cascade / "weights.safetensors")
    for part, parent in (("frontend", "enhancement"), ("backend", "classifier_clean")):
        for name, value in load_file(cascade.parent / f"{parent}_seed0" / "weights.safetensors").items():
            assert name.startswith(part) and torch.equal(weights[name], value)
    assert pd.read_csv(cascade / "history.csv").empty


def test_load_run_gives_the_trained_model(profile):
    folder = fit(load_config(profile, strategy="jt"))
    run = load_run(folder)
    enhanced, probabilities = run.process(torch.randn(3001), sample_rate=8000)
    assert enhanced.shape == (3001,)
    assert probabilities.shape == (3,) and probabilities.sum().item() == pytest.approx(1)
    loud, _ = run.process(10 * torch.ones(3001) * torch.randn(3001, generator=torch.Generator().manual_seed(0)))
    soft, _ = run.process(torch.ones(3001) * torch.randn(3001, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(loud, 10 * soft, rtol=1e-3, atol=1e-3)  # the level comes back
    with pytest.raises(FileNotFoundError, match=r"not a finished run, it lacks config.json"):
        load_run(folder.parent)


def test_learning_rate_schedules():
    constant, cosine = (load_config("smoke", schedule=name, learning_rate=0.1) for name in ("constant", "cosine"))
    assert learning_rate(constant, 0.7) == 0.1
    rates = [learning_rate(cosine, progress / 100) for progress in range(101)]
    assert rates[0] < 1e-6 and rates[-1] < 1e-6
    assert max(rates) == pytest.approx(0.1, rel=0.02)


def test_early_stopping_and_selection(profile):
    folder = fit(load_config(profile, strategy="classifier_noisy", epochs=30, patience=1, learning_rate=3.0))
    history = pd.read_csv(folder / "history.csv")
    assert len(history) < 30
    best = history[history.selected].iloc[-1]
    assert best.valid_accuracy == history.valid_accuracy.max()


def test_command_line_errors_are_one_line(profile):
    with pytest.raises(SystemExit, match="ConfigError: unknown strategy 'jtt'"):
        main(["--profile", str(profile), "--strategy", "jtt"])
