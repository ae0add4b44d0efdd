import pytest

from jointlib.config import PROFILES, ConfigError, from_notebook, identity, load_config, parent_of
from jointlib.corpora.batches import check_sources
from jointlib.corpora.contaminate import MIXERS


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_loads(profile):
    config = load_config(profile)
    assert config.profile == profile and config.variant == ""


def test_the_published_sizes_are_the_default():
    for profile in ("full", "fsc"):
        config = load_config(profile)
        assert (config.frontend_layers, config.frontend_channels, config.stem) == (12, 24, None)
        assert config.alphas == (0, 0.1, 0.5, 0.9)
    assert load_config("quick").stem is not None


def test_every_mixer_can_be_chosen():
    assert {load_config("smoke", mixer=name).mixer for name in MIXERS} == set(MIXERS)


def test_notebook_scope():
    scope = {"PROFILE": "smoke", "ALPHA": 0.9, "SNR_DB": [5], "UTTERANCE": 3, "helper": print}
    config = from_notebook(scope, own=("UTTERANCE",))
    assert (config.alpha, config.snr_db) == (0.9, (5,))
    assert from_notebook({"PROFILE": "quick", "INIT": None}).init == "pretrained"
    assert from_notebook({"PROFILE": "quick", "STEM": None}).stem is None
    with pytest.raises(ConfigError, match="'UTTERANCE'"):
        from_notebook(scope)
    with pytest.raises(ConfigError, match="written in capitals: ALPHA"):
        from_notebook({"PROFILE": "smoke", "alpha": 0.9})


@pytest.mark.parametrize("meant", ["STRATEGY", "UTTERANCE", "PROFILE", "SNR_DB_TEST"])
def test_a_near_miss_of_a_notebooks_parameter_is_told_in_capitals(meant):
    given = {"PROFILE": "smoke", "UTTERANCE": 0, f"{meant[:-1]}E{meant[-1]}": 1}
    with pytest.raises(ConfigError, match=f"unknown parameter '{meant[:-1]}E.': did you mean '{meant}'"):
        from_notebook(given, own=("UTTERANCE",))


def test_what_later_cells_bind_is_no_parameter_in_a_second_run():
    bound = {"SAMPLE_RATE": 16_000, "HTML": object, "noise": object(), "corpus": object(), "_": [object()]}
    assert from_notebook({"PROFILE": "smoke", "SNR_DB": [5]} | bound).snr_db == (5.0,)


@pytest.mark.parametrize(
    ("changes", "variant"),
    [
        ({"init": "pretrained", "steps": 5}, "init=pretrained,steps=5"),
        ({"snr_db": [0, 5.5]}, "snr_db=0+5.5"),
        ({"noise_types_test": "Babble"}, "noise_types_test=Babble"),
        ({"stem": (400, 160, 64)}, "stem=400+160+64"),
    ],
)
def test_run_names_say_what_differs_from_the_profile(changes, variant):
    changed = load_config("full", strategy="jt", **changes)
    assert changed.run_name == f"jt_alpha0.5_seed0_{variant}"


def test_run_names_are_those_of_folders_and_tell_paths_apart():
    names = [load_config("smoke", noise=f"/data/{place}/noise sets/mine").variant for place in ("one", "two")]
    assert names[0] != names[1] and all("/" not in name and " " not in name for name in names)


def test_plain_run_names():
    assert load_config("smoke", alpha=0.9, seed=3).run_name == "jt_alpha0.9_seed3"
    assert load_config("smoke", strategy="enhancement").run_name == "enhancement_seed0"
    changed = load_config("full", init="pretrained", steps=15, strategy="cascade_enhanced")  # of three trainings
    assert parent_of(changed, "enhancement").run_name == "enhancement_seed0_steps=5"


def test_the_papers_start_is_another_run_than_a_profiles_own():
    assert load_config("quick", strategy="jt", init="scratch").run_name == "jt_alpha0.5_seed0_init=scratch"
    assert load_config("quick", strategy="dual", init="scratch").run_name == "dual_seed0"  # knows no other


def test_what_a_strategy_ignores_makes_no_other_run():
    plain = load_config("full", strategy="enhancement")
    assert identity(load_config("full", strategy="enhancement", init="pretrained", alpha=0.3)) == identity(plain)
    assert load_config("full", strategy="enhancement", init="pretrained").run_name == plain.run_name
    changes = {"frontend": "mask_net", "loss": {"snr": 1.0}, "gradient": 0.5}
    assert load_config("full", strategy="classifier_noisy", **changes).run_name == "classifier_noisy_seed0"
    assert load_config("full", strategy="jt", gradient=0.5).run_name == "jt_alpha0.5_seed0_gradient=0.5"
    assert load_config("full", strategy="bn", gradient=0.5).run_name == "bn_alpha0.5_seed0"
    with pytest.raises(ConfigError, match="init"):
        load_config("full", strategy="dual", init="somehow")


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"learning_rate": "1e-3"}, 0.001),
        ({"clip_seconds": 3}, 3.0),
        ({"snr_db": 5}, (5,)),
        ({"noise_types_test": "Babble"}, ("Babble",)),
    ],
)
def test_values_take_their_fields_type(given, value):
    (name,) = given
    assert getattr(load_config("full", **given), name) == value


def test_naming_a_corpus_means_that_one():
    assert load_config("quick").embedded is not None
    assert load_config("quick", corpus="somewhere").embedded is None


def test_where_a_run_is_made_does_not_make_it_another():
    assert identity(load_config("smoke")) == identity(load_config("smoke", device="cpu", results="elsewhere"))
    assert identity(load_config("smoke")) != identity(load_config("smoke", learning_rate=0.5))


def test_fsc_says_what_to_download(tmp_path):
    missing = load_config("fsc", corpus=str(tmp_path / "fsc"), noise=str(tmp_path / "noise"))
    with pytest.raises(FileNotFoundError, match=r"fsc is missing: it holds Fluent Speech Commands"):
        check_sources(missing)
