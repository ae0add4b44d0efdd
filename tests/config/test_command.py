"""The command line: what its options do, and how commands end."""

import re
import subprocess
import sys
from importlib.metadata import version
from types import SimpleNamespace

import pytest

from jointlib.__main__ import main as jointlib

COMMANDS = ("train", "enhance", "doctor", "export", "report")


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """The configurations that ``jointlib train`` would train; their classifier has learnt nothing."""
    configs = []
    (tmp_path / "metrics.json").write_text('{"remark": "always the same intent"}')
    stand_in = SimpleNamespace(fit=lambda config: configs.append(config) or tmp_path)
    monkeypatch.setitem(sys.modules, "jointlib.runs.fit", stand_in)
    return configs


@pytest.mark.parametrize(
    ("options", "name", "values"),
    [
        ("--alpha 0.1 --seed 3", "jt_alpha0.1_seed3", {"alpha": 0.1, "seed": 3}),
        ("--snr-db -5 2.5 --steps=7", "jt_alpha0.5_seed0_snr_db=-5+2.5,steps=7", {"snr_db": (-5, 2.5), "steps": 7}),
        ("--stem None", "jt_alpha0.5_seed0_stem=None", {"stem": None}),
        ("--no-fresh-noise", "jt_alpha0.5_seed0_fresh_noise=False", {"fresh_noise": False}),
        ("--noise_types_test Babble", "jt_alpha0.5_seed0_noise_types_test=Babble", {"noise_types_test": ("Babble",)}),
        ("--learning-rate 1e-4 --device cpu", "jt_alpha0.5_seed0_learning_rate=0.0001", {"device": "cpu"}),
        ("--loss mse 1 snr 0.5", None, {"loss": {"mse": 1, "snr": 0.5}}),
        ("--strategy bn --init scratch", "bn_alpha0.5_seed0", {"init": "scratch"}),
        ("--batch-size 8", "jt_alpha0.5_seed0", {"batch_size": 8}),  # the profile's
    ],
)
def test_every_field_is_an_option_and_runs_are_named_as_from_a_notebook(asked, options, name, values):
    jointlib(["train", *options.split()])
    (config,) = asked
    assert config.profile == "quick" and name in (config.run_name, None)
    assert {field: getattr(config, field) for field in values} == values


def test_what_is_not_given_is_the_profiles_and_the_strategys(asked, tmp_path):
    """The profile's strategy ignores `init`, the one that is asked for does not."""
    profile = tmp_path / "mine.yaml"
    profile.write_text("base: quick\nalpha: 0.9\nstrategy: bn\nseed: 3\n")
    jointlib(["train", "--profile", str(profile)])
    jointlib(["train", "--profile", str(profile), "--strategy", "jt", "--init", "scratch"])
    assert [config.run_name for config in asked] == ["bn_alpha0.9_seed3", "jt_alpha0.9_seed3_init=scratch"]


def test_train_prints_the_folder_and_whether_the_classifier_has_learnt_nothing(asked, tmp_path, capsys):
    jointlib(["train"])
    told = capsys.readouterr()
    assert told.out == f"{tmp_path}\n" and "learnt nothing: always the same intent" in told.err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("train --alpah 0.3", "Perhaps you meant:.*--alpha"),
        ("train --seeds 1 2", "Perhaps you meant:.*--seed"),  # a grid's
        ("train --steps many", "Error parsing --steps"),
        ("train --alpha 1.5", "alpha=1.5: must be less than or equal to 1"),
        ("trian", "trian.*Available subcommands: train"),
        ("", "Expected one of .train"),
        ("export run", "OUTPUT"),
    ],
)
def test_wrong_usage_has_exit_status_2_and_a_hint(given, told, asked, capsys):
    with pytest.raises(SystemExit) as ended:
        jointlib(given.split())
    assert ended.value.code == 2 and re.search(told, capsys.readouterr().err, re.S) and not asked


@pytest.mark.parametrize(
    ("error", "status"),  # of which a text is printed, and then 1
    [
        (ValueError("a"), "ValueError: a"),
        (OSError(5, "b"), "OSError: [Errno 5] b"),
        (FloatingPointError("c"), "FloatingPointError: c"),
        (MemoryError(), "MemoryError: not enough memory"),
        (KeyboardInterrupt(), 130),
        (AttributeError("a fault of the program"), None),
    ],
)
def test_how_a_command_ends(error, status, asked, monkeypatch):
    def fail(config):
        raise error

    monkeypatch.setattr(sys.modules["jointlib.runs.fit"], "fit", fail)
    with pytest.raises(SystemExit if status else type(error)) as ended:
        jointlib(["train"])
    assert status is None or ended.value.code == status


@pytest.mark.parametrize("given", [f"{name} --profile quik" for name in ("report", "train", "doctor")])
def test_an_unknown_profile_is_a_line(given):
    with pytest.raises(SystemExit, match=r"^ConfigError: unknown profile 'quik': did you mean 'quick'"):
        jointlib(given.split())


@pytest.mark.parametrize("spoilt", [False, True])
def test_the_doctors_exit_status(spoilt, corpus_root, capsys):
    with pytest.raises(SystemExit, match=r"either a PATH or a --profile"):
        jointlib(["doctor"])
    if spoilt:
        next(corpus_root.rglob("0.wav")).unlink()
    with pytest.raises(SystemExit) as ended:
        jointlib(["doctor", str(corpus_root)])
    assert ended.value.code == int(spoilt) and ("1 error(s)" in capsys.readouterr().out) == spoilt


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name, capsys):
    with pytest.raises(SystemExit) as ended:
        jointlib([name, "--help"])
    told = capsys.readouterr().out
    assert not ended.value.code and told.startswith(f"usage: jointlib {name} ")
    assert f"\nExample: jointlib {name} " in told


def test_the_help_of_train_has_the_defaults_of_the_profile(capsys):
    with pytest.raises(SystemExit):
        jointlib(["train", "--profile", "smoke", "--help"])
    told = capsys.readouterr().out
    assert re.search(r"--steps INT\s.*?\(default:\s[\s│]*24\)", told, re.S) and "--variant" not in told


def test_help_is_quick_and_lists_the_commands():
    script = "import sys; from jointlib.__main__ import main\ntry: main(['-h'])\nfinally: print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told.endswith("False\n") and all(f" {name} " in told for name in COMMANDS)


def test_version(capsys):
    jointlib(["--version"])
    assert capsys.readouterr().out == f"jointlib {version('jointlib')}\n"
