import pytest

from jointlib.config import identity, parent_of
from jointlib.corpora.batches import check_sources
from jointlib.config import PROFILES, from_notebook, load_config
from jointlib.config import ConfigError


@pytest.mark.parametrize("profile", sorted(file.stem for file in PROFILES.glob("*.yaml")))
def test_every_profile_loads(profile):
    config = load_config(profile)
    assert config.profile == profile
    assert config.overrides == {}


def test_the_published_sizes_are_the_default():
    for profile in ("full", "fsc"):
        config = load_config(profile)
        assert (config.frontend_layers, config.frontend_channels, config.stem) == (12, 24, None)
        assert config.alphas == (0, 0.1, 0.5, 0.9)
    assert load_config("quick").stem is not None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"profile": "quik"}, "did you mean 'quick'"),
        ({"learning_rat": 1}, "unknown parameter 'learning_rat': did you mean 'learning_rate'"),
        ({"strategy": "jtt"}, "unknown strategy 'jtt'"),
        ({"mixer": "loud"}, "unknown mixer 'loud'"),
        ({"alpha": 1.5}, "must lie between 0 and 1"),
        ({"epochs": 0}, "epochs=0: must be 1 or more"),
        ({"snr_db": []}, "snr_db is empty"),
        ({"epochs": "many"}, "epochs='many': expected int"),
    ],
)
def test_mistakes_are_named(given, message):
    with pytest.raises(ConfigError, match=message):
        load_config(**{"profile": "smoke", **given})


def test_unknown_key_in_a_profile_file(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("base: smoke\nepoch: 3\n")
    with pytest.raises(ConfigError, match=r"mine.yaml: unknown parameter 'epoch': did you mean 'epochs'"):
        load_config(file)


def test_notebook_scope():
    scope = {"PROFILE": "smoke", "ALPHA": 0.9, "SNR_DB": [5], "UTTERANCE": 3, "helper": print}
    config = from_notebook(scope, own=("UTTERANCE",))
    assert (config.alpha, config.snr_db) == (0.9, (5,))
    assert from_notebook({"PROFILE": "quick", "INIT": None}).init == "pretrained"
    assert from_notebook({"PROFILE": "quick", "STEM": None}).stem is None
    with pytest.raises(ConfigError, match="'utterance'"):
        from_notebook(scope)
    with pytest.raises(ConfigError, match="written in capitals: ALPHA"):
        from_notebook({"PROFILE": "smoke", "alpha": 0.9})


def test_a_notebook_runs_again_in_the_same_kernel():
    import numpy as np
    from IPython.display import HTML

    bound = {"SAMPLE_RATE": 16_000, "HTML": HTML, "noise": np.zeros(3), "corpus": object(), "_": [np.zeros(2)]}
    assert from_notebook({"PROFILE": "smoke", "SNR_DB": [5]} | bound).snr_db == (5.0,)
    with pytest.raises(ConfigError, match="in capitals: NOISE"):
        from_notebook({"PROFILE": "smoke", "noise": "data/mine"})
    with pytest.raises(ConfigError, match="SNR_DB: write the value out"):
        from_notebook({"PROFILE": "smoke", "SNR_DB": range(0, 20, 5)})


def test_run_names_say_what_differs_from_the_profile():
    assert load_config("smoke", alpha=0.9, seed=3).run_name == "jt_alpha0.9_seed3"
    assert load_config("smoke", strategy="enhancement").run_name == "enhancement_seed0"
    changed = load_config("full", init="pretrained", epochs=5, strategy="bn")
    assert changed.run_name == "bn_alpha0.5_seed0_epochs=5,init=pretrained"
    assert parent_of(changed, "enhancement").run_name == "enhancement_seed0_epochs=5"


def test_what_a_strategy_ignores_makes_no_other_run():
    plain = load_config("full", strategy="enhancement")
    assert identity(load_config("full", strategy="enhancement", init="pretrained", alpha=0.3)) == identity(plain)
    assert load_config("full", strategy="enhancement", init="pretrained").run_name == plain.run_name


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"learning_rate": "1e-3"}, 0.001),
        ({"epochs": 3.0}, 3),
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
