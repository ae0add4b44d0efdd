from pathlib import Path

import pytest
import torch

from jointlib.config import PROFILES, Config, ConfigError, grid, identity, load_config, parent_of
from jointlib.notebook import read_parameters


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_loads(profile):
    config = load_config(profile)
    assert config.profile == profile and config.variant == ""
    assert set(config.strategies) <= {cell.strategy for cell in grid(config).values()}


def test_the_published_sizes_are_the_default():
    for profile in ("full", "fsc"):
        config = load_config(profile)
        assert (config.frontend_layers, config.frontend_channels, config.stem) == (12, 24, None)
        assert config.alphas == (0, 0.1, 0.5, 0.9)
    assert load_config("quick").stem is not None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"steps": "many"}, "steps='many': must be a valid integer"),
        ({"steps": 2.5}, "steps=2.5: must be a valid integer"),
        ({"steps": None}, "steps=None: must be a valid integer"),
        ({"learning_rate": -1e-3}, "learning_rate=-0.001: must be greater than 0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan: must be a finite number"),
        ({"alphas": [0.5, 1.1]}, "alphas.1=1.1: must be less than or equal to 1"),
        ({"clip_seconds": 4000}, "clip_seconds=4000: must be less than or equal to 600"),  # milliseconds
        ({"snr_db": []}, "snr_db=[]: Value should have at least 1 item"),
        ({"stem": [400, 160]}, "stem.2=[400, 160]: Field required"),
        ({"clip_seconds": 0.002}, "clip_seconds=0.002, frontend_layers=5: the bottleneck has one frame; a clip must"),
        ({"mask_filters": [320, 100]}, "mask_filters=(320, 100): the hop must divide half the window"),
        ({"device": "mps"}, "device='mps': String should match pattern"),
        ({"learning_rte": 1}, "unknown parameter 'learning_rte': did you mean 'learning_rate'"),
        ({"strategy": "jit"}, "strategy='jit': must be 'classifier_clean', "),
        ({"strategy": "enhancement", "init": "somehow"}, "init='somehow': must be 'scratch' or 'pretrained'"),
        ({"profile": "smok"}, "unknown profile 'smok': did you mean 'smoke'"),
        ({"embedded": {"speaker": {}}}, "unknown parameter 'speaker': did you mean 'speakers'"),
        ({"embedded": {"phrasings": 8, "phrasings_of_test_only": 1}}, "9 phrasings requested, there are 8"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_parameter_and_what_would_be_right(given, told):
    with pytest.raises(ConfigError) as caught:
        load_config(**{"profile": "smoke"} | given)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("- 1\n- 2", "mine.yaml: expected lines of NAME: VALUE, found list"),
        ("a: [1,", "mine.yaml: not readable as YAML"),
        ("corpus: \udcff", "mine.yaml: not readable as YAML"),
        ("corpus: !!python/object/apply:os.system ['touch planted']", "mine.yaml: not readable as YAML"),
        ("base: quickly", "mine.yaml: base: unknown profile 'quickly': did you mean 'quick'"),
        ("base: mine.yaml", "mine.yaml: base: mine.yaml leads back to itself"),
        ("base: smoke\nstepz: 3", "profile mine.yaml: unknown parameter 'stepz': did you mean 'steps'"),
        ("base: smoke\nsteps: many", "profile mine.yaml: steps='many': must be a valid integer"),
        ("steps: 1\nalpha: 0.5\nsteps: 2", "mine.yaml: steps is given twice"),
    ],
)
def test_a_profile_that_cannot_be_read_is_named(content, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        load_config("mine.yaml")
    assert told in str(caught.value) and not Path("planted").exists()


def test_a_profile_builds_on_its_base(tmp_path):
    (tmp_path / "one.yaml").write_text(f"base: {tmp_path / 'two.yaml'}\nsteps: 3\nlearning_rate: 1e-3\n")
    (tmp_path / "two.yaml").write_text("base: smoke\nsteps: 4\nalpha: 0.9\ncorpus: mine\n")
    config, smoke = load_config(tmp_path / "one.yaml"), load_config("smoke")
    assert (config.profile, config.steps, config.alpha, config.learning_rate) == ("one", 3, 0.9, 0.001)
    assert config.tcn_hidden == smoke.tcn_hidden and config.embedded is None and config.variant == ""


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("base: ~/other.yaml\ncorpus: ~/speech\n")
    (tmp_path / "other.yaml").write_text("base: smoke\n")
    config = load_config("~/mine.yaml", noise="~/noise", results="~/results")
    assert config.profile == "mine" and config.folder == tmp_path / "results/mine"
    assert (config.corpus, config.noise) == (str(tmp_path / "speech"), str(tmp_path / "noise"))


def test_naming_a_corpus_means_that_one():
    assert load_config("quick").embedded is not None
    other = load_config("quick", corpus="somewhere")
    assert other.embedded is None and "embedded=None" in other.run_name


def test_a_gpu_that_torch_cannot_use_is_no_silent_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)  # the driver counts it
    if not torch.cuda.is_available():
        with pytest.raises((RuntimeError, AssertionError)):
            _ = load_config("smoke").torch_device
    assert load_config("smoke", device="cpu").torch_device.type == "cpu"


def test_notebook_scope():
    scope = {"PROFILE": "smoke", "ALPHA": 0.9, "SNR_DB": [5], "UTTERANCE": 3, "helper": print}
    config = read_parameters(scope, UTTERANCE=int)
    assert (config.alpha, config.snr_db) == (0.9, (5,))
    assert read_parameters({"PROFILE": "quick", "INIT": None}).init == "pretrained"
    assert read_parameters({"PROFILE": "quick", "STEM": None}).stem is None
    with pytest.raises(ConfigError, match="'UTTERANCE'"):
        read_parameters(scope)
    with pytest.raises(ConfigError, match="'alpha': did you mean ALPHA"):
        read_parameters({"PROFILE": "smoke", "alpha": 0.9})


@pytest.mark.parametrize("meant", ["STRATEGY", "UTTERANCE", "SNR_DB_TEST"])
def test_a_near_miss_of_a_notebooks_parameter_is_told_in_capitals(meant):
    given = {"PROFILE": "smoke", "UTTERANCE": 0, f"{meant[:-1]}E{meant[-1]}": 1}
    with pytest.raises(ConfigError, match=f"unknown parameter '{meant[:-1]}E.': did you mean {meant}"):
        read_parameters(given, UTTERANCE=int)


def test_what_later_cells_bind_is_no_parameter_in_a_second_run():
    bound = {"SAMPLE_RATE": 16_000, "HTML": object, "X": torch.zeros(1), "_": [object()]}
    bound |= {name: object() for name in ("noise", "corpus", "config")}
    assert read_parameters({"PROFILE": "smoke", "SNR_DB": [5]} | bound).snr_db == (5.0,)


def test_run_names_are_those_of_folders_and_tell_paths_apart():
    names = [load_config("smoke", noise=f"/data/{place}/noise sets/mine").variant for place in ("one", "two")]
    assert names[0] != names[1] and all("/" not in name and " " not in name for name in names)


def test_a_name_that_is_too_long_ends_in_a_digest_of_all_that_differs(tmp_path):
    names = [name for name in Config.model_fields if name.startswith(("tcn", "mix_", "batch", "steps", "clip"))]
    many = dict.fromkeys([*names, "validate_every", "contamination_seed", "patience", "threads"], 512)
    many |= {"corpus": "Sprache/ü" * 9, "noise": "Geräusche/" * 9, "schedule": "cosine", "mixer": "ms_snsd"}
    one, other, same = (load_config("full", **many, weight_decay=value) for value in (1, 2, 1))
    assert one.run_name == same.run_name and one.run_name[:150] == other.run_name[:150]
    assert one.run_name != other.run_name and one.summary != other.summary
    for name in (f".{one.run_name}.lock", f"{one.run_name}.partial", f"{one.summary.name}.ipynb"):
        (tmp_path / name).touch()


def test_plain_run_names():
    assert load_config("smoke", alpha=0.9, seed=3).run_name == "jt_alpha0.9_seed3"
    assert load_config("smoke", strategy="enhancement").run_name == "enhancement_seed0"
    changed = load_config("full", init="pretrained", steps=15, strategy="cascade_enhanced")  # of three trainings
    assert parent_of(changed, "enhancement").run_name == "enhancement_seed0_steps=5"
    assert load_config("quick", strategy="jt", init="scratch").run_name == "jt_alpha0.5_seed0_init=scratch"
    twice = load_config("quick", strategy="jt", steps=3720)  # so that the parent's share is what the profile says
    own = load_config("quick", strategy="classifier_clean", steps=1860)
    assert parent_of(twice, "classifier_clean").run_name == own.run_name == "classifier_clean_seed0_steps=1860"


def test_a_profiles_own_strategy_changes_nothing_for_the_others(tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("base: smoke\ninit: pretrained\nstrategy: classifier_noisy\nstrategies: [jt, bn]\nloss: {snr: 1}\n")
    jt, bn, _ = grid(load_config(own, gradient=0.5)).values()
    assert (jt.run_name, jt.init, jt.loss) == ("jt_alpha0.5_seed0_gradient=0.5", "pretrained", {"snr": 1})
    assert (bn.run_name, bn.init, bn.loss) == ("bn_alpha0.5_seed0", "scratch", {"snr": 1})


def test_what_a_strategy_ignores_makes_no_other_run():
    plain = load_config("full", strategy="enhancement")
    assert identity(load_config("full", strategy="enhancement", init="pretrained", alpha=0.3)) == identity(plain)
    assert load_config("full", strategy="enhancement", init="pretrained").run_name == plain.run_name
    changes = {"frontend": "mask_net", "loss": {"snr": 1.0}, "gradient": 0.5}
    assert load_config("full", strategy="classifier_noisy", **changes).run_name == "classifier_noisy_seed0"
    assert load_config("full", strategy="jt", gradient=0.5).run_name == "jt_alpha0.5_seed0_gradient=0.5"
    assert load_config("full", strategy="bn", gradient=0.5).run_name == "bn_alpha0.5_seed0"


def test_where_a_run_is_made_does_not_make_it_another():
    assert identity(load_config("smoke")) == identity(load_config("smoke", device="cpu", results="elsewhere"))
    assert identity(load_config("smoke")) != identity(load_config("smoke", learning_rate=0.5))
    assert identity(Config(**identity(load_config("smoke")), profile="x")) == identity(load_config("smoke"))


def test_a_profile_gives_a_strategy_values_of_its_own(tmp_path):
    profile = tmp_path / "mine.yaml"
    profile.write_text(
        "base: smoke\nper_strategy: {jt: {learning_rate: 3.0e-4}, bn: {learning_rate: 5.0e-4, steps: 4}}"
    )
    base = load_config(profile)
    assert base.learning_rate == load_config(profile, strategy="jt").learning_rate == 3e-4
    assert load_config(profile, strategy="bn").own_steps == 4
    assert base.replace(strategy="bn_mix").learning_rate == load_config("smoke").learning_rate
    rates = {
        name.split("_")[0]: cell.learning_rate for name, cell in grid(base.replace(strategies=["jt", "bn"])).items()
    }
    assert rates == {"jt": 3e-4, "bn": 5e-4, "classifier": load_config("smoke").learning_rate}
    (tmp_path / "next.yaml").write_text(f"base: {profile}\nper_strategy: {{bn: {{steps: 3}}}}")
    rows = load_config(tmp_path / "next.yaml").per_strategy
    assert (rows["jt"], rows["bn"]) == ({"learning_rate": 3e-4}, {"steps": 3})
    (tmp_path / "last.yaml").write_text(f"base: {profile}\nlearning_rate: 9.0e-4")  # for all
    last = load_config(tmp_path / "last.yaml")
    assert (last.learning_rate, last.replace(strategy="bn").learning_rate) == (9e-4, 9e-4)


def test_what_is_overridden_replaces_a_strategys_own_values(tmp_path):
    profile = tmp_path / "mine.yaml"
    profile.write_text("base: smoke\nlearning_rate: 1.0e-3\nper_strategy: {bn: {learning_rate: 5.0e-4, steps: 4}}")
    changed = load_config(profile, learning_rate=1e-3, strategy="bn")
    assert (changed.learning_rate, changed.own_steps, changed.variant) == (1e-3, 4, "learning_rate=0.001")
    assert changed.replace(seed=1).learning_rate == 1e-3


@pytest.mark.parametrize("own", ["{jtt: {steps: 4}}", "{bn: {step: 4}}", "{jt: 4}", "jt"])
def test_a_strategys_own_values_are_checked(tmp_path, own):
    profile = tmp_path / "mine.yaml"
    profile.write_text(f"base: smoke\nper_strategy: {own}")
    with pytest.raises(ConfigError, match=r"per_strategy|unknown parameter 'step'"):
        load_config(profile)
