"""Bad inputs, a row each: what is spoilt, and how it is handled. `fine` means that it is read like any other."""

import json
import os
import pickle
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from jointlib.config import Config, ConfigError, EmbeddedCorpus, from_notebook, load_config
from jointlib.config.embedded import VOICES
from jointlib.corpora.batches import load_data
from jointlib.corpora.embedded.speech import speakers
from jointlib.runs.folder import FILES, list_runs, read_config, run_folder
from jointlib.runs.run import build_network, load_run
from jointlib.runs.scores import read_passages, read_run
from jointlib.strategies import STRATEGIES
from jointlib.support.files import UnusableFile

pytestmark = pytest.mark.trust

PARAMETERS = {
    "text for a number": ({"steps": "many"}, "steps='many': must be a valid integer"),
    "a number for text": ({"corpus": 3}, "corpus=3: must be a valid string"),
    "half a step": ({"steps": 2.5}, "steps=2.5: must be a valid integer"),
    "yes for a number": ({"batch_size": True}, "batch_size=True: must be a valid integer"),
    "yes for a fraction": ({"learning_rate": True}, "learning_rate=True: must be a valid number"),
    "a word for yes or no": ({"fresh_noise": "sometimes"}, "fresh_noise='sometimes': must be a valid boolean"),
    "text among numbers": ({"snr_db": [0, "loud"]}, "snr_db='loud': could not convert string to float"),
    "NaN": ({"learning_rate": float("nan")}, "learning_rate=nan: must be a finite number"),
    "an SNR of NaN": ({"snr_db": [float("nan")]}, "snr_db=nan: must be a finite number"),
    "infinity": ({"clip_norm": float("inf")}, "clip_norm=inf: must be a finite number"),
    "None": ({"steps": None}, "steps=None: must be a valid integer"),
    "negative": ({"learning_rate": -1e-3}, "learning_rate=-0.001: must be greater than 0"),
    "a negative seed": ({"seed": -1}, "seed=-1: must be greater than or equal to 0"),
    "no step": ({"steps": 0}, "steps=0: must be greater than or equal to 1"),
    "a batch of 0": ({"batch_size": 0}, "batch_size=0: must be greater than or equal to 1"),
    "no threads": ({"threads": 0}, "threads=0: must be greater than or equal to 1"),
    "a clip of no length": ({"clip_seconds": 1e-9}, "clip_seconds=1e-09: must be greater than or equal to"),
    "a chunk that does not fit": ({"frontend_chunk": 1000}, "frontend_chunk=1000: must be a multiple of 32"),
    "an endless seed": ({"seed": 2**40}, "seed=1099511627776: must be less than or equal to 4294967295"),
    "a set of values that is made": ({"variant": "x"}, "unknown parameter 'variant'"),
    "a GPU that nobody has": ({"device": "cuda:999"}, "device='cuda:999': torch sees"),
    "a GPU before the first": ({"device": "cuda:-1"}, "device='cuda:-1': must be auto, cpu or cuda"),
    "a device and more": ({"device": "cpu\n"}, "device='cpu\\n': must be auto, cpu or cuda"),
    "a second CPU": ({"device": "cpu:1"}, "device='cpu:1': must be auto, cpu or cuda"),
    "more voices than there are": (
        {"embedded": {"speakers": {"train": 9, "valid": 81, "test": 9}}},
        "speakers: 81 wanted for valid, there are 80 voices",
    ),
    "rates the wrong way round": ({"embedded": {"words_per_minute": [220, 150]}}, "the lower rate comes first"),
    "no noise": ({"embedded": {"noise_seconds": 1e-9}}, "noise_seconds=1e-09: must be greater than or equal to 0.1"),
    "a batch of days": ({"batch_size": 1024, "clip_seconds": 600}, "together 9,830,400,000 samples, must be at most"),
    "a device of no use": ({"device": "meta"}, "device='meta': must be auto, cpu or cuda"),
    "unknown device": ({"device": "abacus"}, "device='abacus': must be auto, cpu or cuda"),
    "alpha above 1": ({"alpha": 1.01}, "alpha=1.01: must be less than or equal to 1"),
    "alpha below 0": ({"alphas": [0.5, -0.1]}, "alphas=-0.1: must be greater than or equal to 0"),
    "no SNR": ({"snr_db": []}, "snr_db=[]: Value should have at least 1 item"),
    "two numbers for three": ({"stem": [400, 160]}, "stem=[400, 160]: a value is missing"),
    "a stem of nothing": ({"stem": [400, 0, 64]}, "stem=0: must be greater than or equal to 1"),
    "unknown name": ({"learning_rte": 1}, "unknown parameter 'learning_rte': did you mean 'learning_rate'"),
    "unknown strategy": ({"strategy": "jit"}, "unknown strategy 'jit': did you mean 'jt'"),
    "a list for a strategy": ({"strategy": ["jt"]}, "unknown strategy ['jt']"),
    "unknown strategies": ({"strategies": "jt,bn"}, "unknown strategies 'jt,bn'"),
    "unknown start": ({"init": "pretraned"}, "unknown init 'pretraned': did you mean 'pretrained'"),
    "unknown mixer": ({"mixer": "loud"}, "unknown mixer 'loud': There is exact, ms_snsd"),
    "unknown profile": ({"profile": "smok"}, "unknown profile 'smok': did you mean 'smoke'"),
    "unknown setting of the corpus": ({"embedded": {"speaker": {}}}, "unknown parameter 'speaker': did you mean 'spe"),
    "a corpus without a split": (
        {"embedded": {"speakers": {"train": 3}}},
        "embedded.speakers={'train': 3}: Dictionary",
    ),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name):
    given, message = PARAMETERS[name]
    with pytest.raises(ConfigError) as caught:
        load_config(**{"profile": "smoke"} | given)
    assert message in str(caught.value)


ABSURD = (2**33, 10**12, 10**18, 2**64, 10**400, 1e300, -(10**18))


@pytest.mark.parametrize("value", ABSURD, ids=lambda value: f"{float(str(value)[:6]):g}...")
def test_no_size_is_absurd(value):
    """Every number of Config and EmbeddedCorpus, also in tuples and tables, has a bound, or is a weight in a loss."""
    free = {"learning_rate", "weight_decay", "clip_norm", "loss"}  # what is not finite then stops training
    refused = 0
    for model in (Config, EmbeddedCorpus):
        for name, plain in model(**({"profile": "x"} if model is Config else {})):
            example = {"stem": (400, 160, 64), "frontend_chunk": 4096, "threads": 1, "metric_workers": 1}.get(
                name, plain
            )
            example = (0.0,) if name == "snr_db_test" else example
            for spoilt in spoil_numbers(example, value) if name not in free else []:
                given = {name: spoilt} if model is Config else {"embedded": {name: spoilt}}
                with pytest.raises(ConfigError, match=name):
                    Config(profile="x", **given)
                refused += 1
    assert refused > 50


def spoil_numbers(example, value):
    """A setting with each of its numbers replaced by `value`, in turn."""
    if isinstance(example, dict):
        for key, entry in example.items():
            yield from (example | {key: spoilt} for spoilt in spoil_numbers(entry, value))
    elif isinstance(example, tuple):
        for place, entry in enumerate(example):
            yield from ((*example[:place], spoilt, *example[place + 1 :]) for spoilt in spoil_numbers(entry, value))
    elif type(example) in (int, float):
        yield value


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_largest_networks_can_be_held(strategy):
    sizes = {"frontend_layers": 20, "frontend_channels": 128, "mask_filters": (4096, 2048), "mix_channels": 256}
    sizes |= {"mask_blocks": (1024, 1024, 20, 20), "stem": (4096, 1, 1024), "tcn_channels": 1024, "tcn_hidden": 1024}
    config = Config(profile="x", strategy=strategy, tcn_repeats=20, tcn_blocks=20, **sizes)
    with torch.device("meta"):
        model = build_network(config, 31)
    assert sum(parameter.numel() for parameter in model.parameters()) < 2.5e9


def test_there_are_as_many_voices_as_the_bound_says():
    settings = EmbeddedCorpus(speakers=VOICES)
    assert {split: len(people) for split, people in speakers(settings).items()} == VOICES
    with pytest.raises(IndexError):
        speakers(settings.model_copy(update={"speakers": {name: number + 1 for name, number in VOICES.items()}}))


def test_a_gpu_that_torch_cannot_use_is_no_silent_cpu(monkeypatch):
    """The driver's library counts it, CUDA does not start: as with a driver older than the CUDA that torch brings."""

    def init():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).\nUpdate it")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "init", init)
    config = load_config("smoke")
    told = r"^device='auto': there is a GPU that torch cannot use \(The NVIDIA .* 11040\).\); device=cpu does without$"
    with pytest.raises(ConfigError, match=told):
        load_data(config.replace(corpus="nowhere", embedded=None))  # before anything is read
    assert config.replace(device="cpu").torch_device.type == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert config.torch_device.type == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there():
    with pytest.raises(ConfigError, match="device='cuda': torch sees no GPU here"):
        load_config("smoke", device="cuda")


@pytest.mark.parametrize("value", [np.float64(0.5), range(3), Path("x"), {1, 2}, [np.zeros(1)], print])
def test_notebooks_take_literals_only(value):
    with pytest.raises(ConfigError, match="SNR_DB: write the value out"):
        from_notebook({"PROFILE": "smoke", "SNR_DB": value})


LAUGHS = ["a: &a [x, x, x, x, x, x, x, x, x]"]
LAUGHS += [
    f"{name}: &{name} [{', '.join(9 * [f'*{last}'])}]" for last, name in zip("abcdefgh", "bcdefghi", strict=True)
]
UNREADABLE = "mine.yaml: not readable as YAML"
PROFILES = {
    "a list": ("- 1\n- 2", "expected lines of NAME: VALUE, found list"),
    "not YAML": ("a: [1,", UNREADABLE),
    "code": ("corpus: !!python/object/apply:os.system ['touch planted']", UNREADABLE),
    "its own base": ("base: mine.yaml", "mine.yaml: base 'mine.yaml' leads back to itself"),
    "its own base by a detour": ("base: ./../{folder}/mine.yaml", "leads back to itself"),
    "its own base by another": ("base: other.yaml", "other.yaml: base 'mine.yaml' leads back to itself"),
    "unknown base": ("base: quickly", "mine.yaml: base: unknown profile 'quickly': did you mean 'quick'"),
    "bases": ("base: [quick]", "unknown profile"),
    "a number for a base": ("base: 3", "unknown profile '3'"),
    "no for a base": ("base: false", "unknown profile 'False'"),
    "a base of no name": ("base: ''", "unknown profile ''"),
    "a base with a zero byte": ('base: "a\\0.yaml"', "unknown profile"),
    "unknown name": ("base: smoke\nstepz: 3", "unknown parameter 'stepz': did you mean 'steps'"),
    "a name of its own": ("base: smoke\nprofile: other", "unknown parameter 'profile'"),
    "bytes": ("\x00\x01", UNREADABLE),
    "no UTF-8": ("corpus: \udcff", UNREADABLE),
    "a name twice": ("steps: 1\nalpha: 0.5\nsteps: 2", "'steps' is given twice"),
    "a name twice, once in quotes": ("steps: 1\n'steps': 2", "'steps' is given twice"),
    "a name twice, deeper": ("embedded: {speakers: {train: 1, train: 2}}", "'train' is given twice"),
    "one and true": ("1: 1\ntrue: 2", "True is given twice"),
    "laughs": ("\n".join(LAUGHS), "anchors and tags are not read here"),
    "an endless list": ("snr_db: &a [*a]", "anchors and tags are not read here"),
    "a merged table": ("embedded: &e {}\nloss: {<<: *e}", "anchors and tags are not read here"),
    "a table merged in place": ("<<: {steps: 3}", UNREADABLE),
    "brackets without end": ("snr_db: " + "[" * 9000, "nested too deeply"),
    "brackets": ("snr_db: " + "[" * 900 + "]" * 900, "nested too deeply"),
    "braces": ("snr_db: " + "{a: " * 900 + "}" * 900, "nested too deeply"),
    "dashes": ("snr_db:\n" + "- " * 4900, UNREADABLE),
    "questions": ("? " * 4900, UNREADABLE),
    "no end": ("#" * 10_001, "longer than 10,000 characters"),
    "thousands of names": ("\n".join(f"{number}: 1" for number in range(1200)), "unknown parameter"),
    "an endless number": ("steps: " + "9" * 5000, UNREADABLE),
    "an endless number in hexadecimal": ("steps: 0x" + "f" * 5000, UNREADABLE),
    "an endless time": ("learning_rate: " + "1:" * 450 + "1.5", UNREADABLE),
    "a day that is none": ("alpha: 2001-13-45", "mine.yaml: not readable as YAML (month must be in 1..12)"),
    "a tag of nothing": ("steps: !!int ''", "anchors and tags are not read here"),
    "a tag of no truth": ("fresh_noise: !!bool perhaps", "anchors and tags are not read here"),
}


@pytest.mark.parametrize("name", PROFILES)
def test_profiles(name, tmp_path, monkeypatch):
    content, message = PROFILES[name]
    monkeypatch.chdir(tmp_path)
    content = content.replace("{folder}", tmp_path.name).encode(errors="surrogateescape")
    Path("mine.yaml").write_bytes(content)
    Path("other.yaml").write_text("base: mine.yaml")
    started = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load_config("mine.yaml")
    assert message in str(caught.value) and not Path("planted").exists()
    assert time.process_time() - started < 1 and "\n" not in str(caught.value) and len(str(caught.value)) < 4000


def test_a_long_row_of_bases_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(1100):
        Path(f"{number}.yaml").write_text(f"base: {f'{number + 1}.yaml' if number < 1099 else 'smoke'}\n")
    assert load_config("0.yaml").steps == load_config("smoke").steps


def settings(**changes):
    """Change config.json of a run; None removes an entry."""

    def spoil(folder):
        values = json.loads((folder / "config.json").read_text()) | changes
        (folder / "config.json").write_text(json.dumps({k: v for k, v in values.items() if v != "removed"}))

    return spoil


def weights(change):
    """Change the tensors of weights.safetensors."""
    return lambda folder: save_file(change(load_file(folder / "weights.safetensors")), folder / "weights.safetensors")


def put(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def half(name):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-1000])


HEAD = "backend.head.1.weight"
MISSING = f'does not fit config.json (Error(s) in loading state_dict for JT: Missing key(s) in state_dict: "{HEAD}"'
MISMATCH = f"does not fit config.json (Error(s) in loading state_dict for JT: size mismatch for {HEAD}"
RUNS = {
    "no weights": (lambda folder: (folder / "weights.safetensors").unlink(), "lacks weights.safetensors"),
    "no metrics": (lambda folder: (folder / "metrics.json").unlink(), "lacks metrics.json"),
    "an empty folder": (lambda folder: [file.unlink() for file in folder.iterdir()], "not a finished run"),
    "cut weights": (half("weights.safetensors"), "weights.safetensors: not readable as safetensors"),
    "empty weights": (put("weights.safetensors", b""), "weights.safetensors: not readable as safetensors"),
    "weights that are text": (put("weights.safetensors", b"hello" * 99), "not readable as safetensors"),
    "a header that asks for memory": (put("weights.safetensors", b"\xff" * 64), "not readable as safetensors"),
    "other shapes": (weights(lambda w: w | {HEAD: w[HEAD][:, :3].clone()}), MISMATCH),
    "other classes": (settings(intents=["a", "b"]), "does not fit config.json"),
    "a weight too few": (weights(lambda w: {k: v for k, v in w.items() if k != HEAD}), MISSING),
    "a weight too many": (weights(lambda w: w | {"extra": torch.zeros(3)}), 'Unexpected key(s) in state_dict: "extra"'),
    "weights of NaN": (weights(lambda w: w | {HEAD: w[HEAD] * torch.nan}), f"{HEAD} holds values that are not finite"),
    "config that is no JSON": (put("config.json", b"{'a': 1}"), "config.json: not readable as JSON"),
    "config that is a list": (put("config.json", b"[1, 2]"), "config.json: expected an object"),
    "config with an unknown key": (settings(stemm=3), "config.json: unknown or missing ['stemm']"),
    "config without a key": (settings(tcn_blocks="removed"), "config.json: unknown or missing ['tcn_blocks']"),
    "config of another type": (settings(tcn_blocks="five"), "tcn_blocks='five': must be a valid integer"),
    "an unknown strategy": (settings(strategy="jtt"), "unknown strategy 'jtt'"),
    "no intents": (settings(intents=[]), "intents: expected a list of names"),
    "intents that are numbers": (settings(intents=[1, 2, 3]), "intents: expected a list of names"),
    "a network of a thousand channels": (settings(tcn_channels=10**3), "does not fit config.json"),
    "a network of a million channels": (settings(tcn_channels=10**6), "tcn_channels=1000000: must be less than or"),
    "a network of a million layers": (settings(tcn_blocks=10**6), "tcn_blocks=1000000: must be less than or"),
    "a profile that leads elsewhere": (settings(profile="../../elsewhere"), "must be a name that a folder can have"),
    "a clip of ages": (settings(clip_seconds=1e300), "clip_seconds=1e+300: must be less than or equal to 600"),
    "half precision": (weights(lambda w: {k: v.half() for k, v in w.items()}), "is torch.float16; expected torch"),
    "brackets without end": (put("config.json", b"[" * 100_000), "config.json: not readable as JSON"),
}


@pytest.mark.parametrize("name", RUNS)
def test_run_folders(name, tiny_runs, tmp_path):
    spoil, message = RUNS[name]
    profile = read_config(tiny_runs["jt"])[0].replace(results=str(tmp_path))
    folder = shutil.copytree(tiny_runs["jt"], run_folder(profile))
    assert load_run(folder).model is not None
    spoil(folder)
    with pytest.raises((UnusableFile, FileNotFoundError)) as caught:
        load_run(folder)
    assert message in str(caught.value)


class Payload:
    """Whoever unpickles this leaves a file behind."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("name", FILES)
def test_a_pickle_in_a_run_folder_is_refused_unexecuted(name, tiny_runs, tmp_path):
    profile = read_config(tiny_runs["jt"])[0].replace(results=str(tmp_path))
    folder = shutil.copytree(tiny_runs["jt"], run_folder(profile))
    planted = tmp_path / "planted"
    (folder / name).write_bytes(pickle.dumps(Payload(planted)))
    refused = 0
    readers = {load_run: folder, read_run: folder, list_runs: profile.folder, read_passages: profile}
    for read, what in readers.items():
        try:
            read(what)
        except (ValueError, KeyError):
            refused += 1
    assert not planted.exists()
    assert refused or name in ("record.json", "history.csv")  # none of these readers opens them
    pickle.loads((folder / name).read_bytes())
    assert planted.exists()  # the payload works, where it is let in


@pytest.mark.parametrize("variant", [None, 5, ["a"]])
def test_a_variant_that_is_no_text_is_named(variant):
    with pytest.raises(ConfigError, match="variant="):
        Config(profile="x", variant=variant)
