import json

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from jointlib.config import load_config
from jointlib.runs import fit as fit_module
from jointlib.runs.enhance import main as enhance
from jointlib.runs.fit import fit, main
from jointlib.runs.folder import FILES, list_runs
from jointlib.runs.run import build_network, load_run, save_memory


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


@pytest.mark.parametrize("stem", [None, (400, 160, 8)])
def test_saving_memory_computes_the_blocks_twice_and_changes_no_number(stem):
    model = build_network(load_config("smoke", strategy="classifier_noisy", stem=stem), 3)
    wave, computed = torch.randn(2, 1, 1001, requires_grad=True), []
    inputs = [wave, *model.parameters()]
    kept = torch.autograd.grad(model(wave).logits.square().sum(), inputs)
    first_block = next(layer for layer in model.backend.features if hasattr(layer, "body"))
    first_block.body[0].register_forward_hook(lambda *_: computed.append(1))
    again = torch.autograd.grad(save_memory(model)(wave).logits.square().sum(), inputs)
    assert len(computed) == 2
    assert all(torch.equal(one, other) for one, other in zip(kept, again, strict=True))


def test_saving_memory_makes_the_same_run(profile, tmp_path):
    folder = fit(load_config(profile, strategy="classifier_noisy"))
    config = load_config(profile, strategy="classifier_noisy", checkpointing=True, results=str(tmp_path / "again"))
    assert files(fit(config)) == files(folder)


def test_a_finished_run_is_not_trained_again(profile):
    config = load_config(profile, strategy="classifier_noisy")
    folder = fit(config)
    stamp = (folder / "weights.safetensors").stat().st_mtime_ns
    assert fit(config) == folder
    assert (folder / "weights.safetensors").stat().st_mtime_ns == stamp


OTHER_TEST = {"strategy": "jt", "init": "pretrained", "snr_db_test": [-5, 0], "noise_types_test": ["Typing"]}


def never(*_):
    raise AssertionError("trained")


def test_what_the_test_alone_reads_is_evaluated_anew_and_not_trained(profile, tmp_path, monkeypatch):
    alone = fit(load_config(profile, **OTHER_TEST, results=str(tmp_path / "again")))
    first = fit(load_config(profile, strategy="jt", init="pretrained"))
    monkeypatch.setattr(fit_module, "train", never)
    other = fit(load_config(profile, **OTHER_TEST))
    assert files(other) == files(alone)
    assert set(pd.read_csv(other / "per_utterance.csv").snr_db) <= {-5, 0}
    records = [json.loads((folder / "record.json").read_text()) for folder in (first, other)]
    assert records[1]["trainings"] == records[0]["trainings"]
    assert records[1]["weights_from"] == {first.name: records[0]["commit"]}
    third = fit(load_config(profile, **OTHER_TEST, test_input="clean"))  # from whichever; the first is named
    assert json.loads((third / "record.json").read_text())["weights_from"] == {first.name: records[0]["commit"]}


@pytest.mark.parametrize("what", ["learning_rate", "another seed", "training speech"])
def test_what_training_reads_is_trained_anew(profile, corpus_root, monkeypatch, what):
    fit(load_config(profile, strategy="classifier_noisy"))
    changed = {"learning_rate": {"learning_rate": 1e-4}, "another seed": {"seed": 1}, "training speech": {}}[what]
    if what == "training speech":
        wave = 0.1 * np.random.default_rng(0).normal(size=8000)
        soundfile.write(corpus_root / "wavs/speakers/ann/0.wav", wave, 16_000)
    monkeypatch.setattr(fit_module, "train", never)
    with pytest.raises(AssertionError, match="trained"):
        fit(load_config(profile, strategy="classifier_noisy", snr_db_test=[0], **changed))


def test_another_configuration_under_the_same_name_is_refused(profile):
    fit(load_config(profile, strategy="classifier_noisy"))
    profile.write_text(profile.read_text() + "learning_rate: 0.5\n")
    with pytest.raises(FileExistsError, match=r"learning_rate: 0.002 there, 0.5 now"):
        fit(load_config(profile, strategy="classifier_noisy"))


def test_a_folder_that_is_no_whole_run_is_left_alone(profile):
    config = load_config(profile, strategy="classifier_noisy")
    folder = fit(config)
    (folder / "weights.safetensors").unlink()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not a finished run, but not empty; move it away"):
        fit(config)
    assert (folder / "notes.txt").read_text() == "mine" and (folder / "metrics.json").exists()


def test_pretrained_parts_are_runs_of_their_own(profile):
    folder = fit(load_config(profile, strategy="jt", init="pretrained"))
    origins = json.loads((folder / "config.json").read_text())["origins"]
    assert origins == {"backend": "classifier_clean_seed0_steps=12"}
    assert set(origins.values()) <= {path.name for path in list_runs(folder.parents[1]).folder}


def test_a_cascade_consists_of_its_parts(profile):
    cascade = fit(load_config(profile, strategy="cascade_clean"))
    weights = load_file(cascade / "weights.safetensors")
    for part, parent in (("frontend", "enhancement"), ("backend", "classifier_clean")):
        for name, value in load_file(cascade.parent / f"{parent}_seed0_steps=12" / "weights.safetensors").items():
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


def test_validations_come_by_interval_and_patience_ends_training(profile):
    run = {"strategy": "classifier_noisy", "steps": 40, "validate_every": 3, "patience": 2, "learning_rate": 3.0}
    history = pd.read_csv(fit(load_config(profile, **run)) / "history.csv")
    assert list(history.step) == list(range(3, 3 * len(history) + 1, 3)) and len(history) < 13
    best = history[history.selected].iloc[-1]
    assert best.valid_accuracy == history.valid_accuracy.max()
    assert len(history) - 1 - best.name == 2
    whole = fit(load_config(profile, **run | {"steps": 7, "learning_rate": 1e-3, "patience": 20}))
    assert list(pd.read_csv(whole / "history.csv").step) == [3, 6, 7]


def test_a_classifier_that_has_learnt_nothing_is_told(profile, capfd):
    """One step at a learning rate of next to nothing leaves the weights as they came."""
    folder = fit(load_config(profile, strategy="classifier_noisy", steps=1, learning_rate=1e-12))
    remark = json.loads((folder / "metrics.json").read_text())["remark"]
    assert "always guessing the most frequent intent would be right in 0.333" in remark
    main(["--profile", str(profile), "--strategy", "classifier_noisy", "--set", "steps=1", "learning_rate=1e-12"])
    assert remark in capfd.readouterr().err


@pytest.fixture
def asked(monkeypatch, tiny_runs):
    """The configurations that the command line would train."""
    configs = []
    monkeypatch.setattr(fit_module, "fit", lambda config: configs.append(config) or tiny_runs["jt"])
    return configs


def test_settings_add_up(asked, profile):
    main(
        [
            "--profile",
            str(profile),
            "--set",
            "steps=7",
            "snr_db=[1, 2]",
            "--set",
            "learning_rate=1e-4",
            "--set",
            "stem=",
        ]
    )
    (config,) = asked
    assert (config.steps, config.snr_db, config.learning_rate, config.stem) == (7, (1.0, 2.0), 1e-4, None)


def test_what_the_command_line_leaves_open_is_the_profiles(asked, profile):
    profile.write_text(profile.read_text() + "alpha: 0.9\nstrategy: bn\nseed: 3\n")
    main(["--profile", str(profile)])
    main(["--profile", str(profile), "--alpha", "0.1", "--strategy", "jt", "--seed", "0"])
    assert [(one.alpha, one.strategy, one.seed) for one in asked] == [(0.9, "bn", 3), (0.1, "jt", 0)]


USAGE = {
    "an alpha twice": ["--alpha", "0.1", "--alpha", "0.5"],
    "an alpha twice, shortened": ["--alpha", "0.1", "--alp=0.1"],
    "a profile twice": ["--profile", "quick", "--profile", "smoke"],
    "no setting": ["--set"],
    "text for a number": ["--seed", "one"],
    "half a seed": ["--seed", "1.5"],
    "an option that is none": ["--steps", "3"],
    "a word too many": ["quick"],
}
ERRORS = {
    "a setting twice": (["--set", "steps=1", "steps=2"], "steps=2: steps is given twice"),
    "a setting twice, apart": (["--set", "steps=1", "--set", "steps=1"], "steps=1: steps is given twice"),
    "an option as a setting": (["--alpha", "0.1", "--set", "alpha=0.5"], "alpha=0.5: alpha is given twice"),
    "a profile as a setting": (["--profile", "quick", "--set", "profile=smoke"], "profile is given twice"),
    "a variant": (["--set", "variant=x"], "unknown parameter 'variant'"),
    "a name alone": (["--set", "steps"], "steps: expected NAME=VALUE"),
    "a value alone": (["--set", "=3"], "unknown parameter ''"),
    "no YAML": (["--set", "snr_db=[1,"], "snr_db=[1,: not readable as YAML"),
    "a key twice": (["--set", "loss={mse: 1, mse: 2}"], "'mse' is given twice"),
    "an endless list": (["--set", "snr_db=&a [*a]"], "anchors and tags are not read here"),
    "brackets": (["--set", "snr_db=" + "[" * 5000], "nested too deeply"),
    "a long value": (["--set", "corpus=" + "x" * 5000], "a value longer than 1,000 characters"),
    "not a number": (["--alpha", "nan"], "alpha=nan: must be a finite number"),
    "a GPU that is not there": (["--set", "device=cuda:999"], "device='cuda:999': torch sees"),
    "a device of no use": (["--set", "device=mps"], "device='mps': must be auto, cpu or cuda"),
    "unknown strategy": (["--strategy", "jtt"], "unknown strategy 'jtt'"),
    "unknown profile": (["--profile", "/dev/null"], "unknown profile '/dev/null'"),
}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage_is_told(name, asked, capsys):
    with pytest.raises(SystemExit) as caught:
        main(USAGE[name])
    assert caught.value.code == 2 and "error: " in capsys.readouterr().err and not asked


@pytest.mark.parametrize("name", ERRORS)
def test_command_line_errors_are_one_line(name, asked):
    arguments, message = ERRORS[name]
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    text = str(caught.value)
    assert text.startswith("ConfigError: ") and message in text and "\n" not in text and not asked


def test_enhance_takes_any_file_at_its_own_rate_and_length(tiny_runs, tmp_path):
    (tmp_path / "input/deep").mkdir(parents=True)
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "input/a.wav", 0.1 * rng.normal(size=4001), 8000)
    soundfile.write(tmp_path / "input/deep/a.flac", 0.1 * rng.normal(size=(50_000, 2)), 44_100)
    enhance([str(tiny_runs["jt"]), str(tmp_path / "input"), str(tmp_path / "out"), "--device", "cpu"])
    for name, frames, sample_rate in (("a.wav", 4001, 8000), ("deep/a.flac.wav", 50_000, 44_100)):
        info = soundfile.info(tmp_path / "out" / name)
        assert (info.frames, info.samplerate, info.channels) == (frames, sample_rate, 1)
    table = pd.read_csv(tmp_path / "out/predictions.csv")
    about = ["file", "run", "strength"]
    assert list(table) == [*about, "intent", "probability", "runner_up", "runner_up_probability"]
    assert (table.probability >= table.runner_up_probability).all() and (table.intent != table.runner_up).all()


def test_enhance_names_bad_input_and_does_the_rest(tiny_runs, tmp_path):
    source, output, run = tmp_path / "input", tmp_path / "out", str(tiny_runs["bn"])
    source.mkdir()
    soundfile.write(source / "a.wav", 0.1 * np.random.default_rng(0).normal(size=4001), 8000)
    (source / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(SystemExit, match=r"broken.wav: not readable as audio"):
        enhance([run, str(source), str(output)])
    assert (output / "a.wav").is_file()
    with pytest.raises(SystemExit, match="no audio file there"):
        enhance([run, str(tmp_path / "nowhere"), str(output)])
    with pytest.raises(SystemExit, match="must not be the input's"):
        enhance([run, str(source), str(source)])
