"""One experiment's parameters. A value that cannot be is an error at once."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from jointlib.contaminate import MIXERS
from jointlib.strategies import STRATEGIES, parents
from jointlib.values import ConfigError, check_device, typed, unknown

ROOT = Path(__file__).resolve().parent.parent  # relative paths in profiles start here


@dataclass(frozen=True)
class Config:
    """All parameters of one run. The defaults are the published sizes; what the paper leaves open is marked (open)."""

    profile: str
    strategy: str = "jt"
    alpha: float = 0.5  # weight of the MSE; strategies with a weight of their own ignore it
    seed: int = 0
    init: str = "scratch"  # or pretrained, frontend, backend: what starts from a separately trained run

    corpus: str = "data/fluent_speech_commands_dataset"
    noise: str = "data/MS-SNSD"  # holds noise_train and noise_test
    embedded: dict | None = None  # settings of the embedded corpus, written to `corpus`'s parent when missing
    clip_seconds: float = 4.0  # utterances are cut or zero-padded to this

    snr_db: tuple[float, ...] = (0.0, 5.0, 10.0, 15.0, 20.0)  # (open) MS-SNSD's own configuration
    snr_db_test: tuple[float, ...] | None = None  # None: the same
    mixer: str = "exact"  # (open) or ms_snsd
    noise_types_train: tuple[str, ...] | None = None  # (open) None: all there are; valid uses train's
    noise_types_test: tuple[str, ...] | None = None
    fresh_noise: bool = True  # (open) draw train's noise anew every epoch
    contamination_seed: int = 0

    frontend_layers: int = 12
    frontend_channels: int = 24
    frontend_chunk: int | None = None  # samples; 16384 enhances in separate chunks
    tcn_channels: int = 64
    tcn_hidden: int = 128
    tcn_repeats: int = 2
    tcn_blocks: int = 5
    stem: tuple[int, int, int] | None = None  # (window, hop, channels) in samples, of the classifier on the wave
    mix_channels: int = 64  # (open) width of BN-Mix's convolution

    train_input: str | None = None  # clean or noisy; None: the strategy's own
    test_input: str | None = None
    optimizer: str = "adam"  # (open) or adamw
    learning_rate: float = 1e-3  # (open)
    weight_decay: float = 0.0
    schedule: str = "constant"  # (open) or cosine: one warm-up and a decay to zero over all epochs
    clip_norm: float = 5.0  # of the gradient
    batch_size: int = 32  # (open)
    epochs: int = 200  # (open)
    patience: int = 20  # (open) epochs without a better validation
    select: str = "accuracy"  # (open) or loss: what a better validation is; loss where nothing is classified
    device: str = "auto"
    bf16: bool | None = None  # autocast to bfloat16 in training; None: on a GPU
    checkpointing: bool = False  # of the classifier: less memory and more time for the same numbers
    threads: int | None = None  # of torch; a number makes CPU runs repeat to the last bit
    metric_workers: int | None = None  # processes that score speech; None: one per core

    strategies: tuple[str, ...] = field(default=tuple(STRATEGIES))  # the grid
    alphas: tuple[float, ...] = (0.0, 0.1, 0.5, 0.9)
    seeds: tuple[int, ...] = (0,)
    results: str = "results"
    overrides: dict = field(
        default_factory=dict
    )  # what was asked for and differs from the profile; kept by load_config

    @property
    def run_name(self) -> str:
        """Name of this run's folder: strategy, alpha, seed, and what differs from the profile."""
        alpha = f"_alpha{self.alpha:g}" if STRATEGIES[self.strategy].alpha is None else ""
        return "_".join([f"{self.strategy}{alpha}_seed{self.seed}", *([self.variant] if self.variant else [])])

    @property
    def variant(self) -> str:
        """What differs from the profile, as ``name=value`` joined by commas; empty for the profile's own runs."""
        plain = json.dumps(self.overrides, sort_keys=True, separators=(",", "="))
        return "".join(sign for sign in plain if sign.isalnum() or sign in "_=,.-")

    @property
    def clip_samples(self) -> int:
        """Length of a clip at 16 kHz."""
        return round(self.clip_seconds * 16_000)

    @property
    def folder(self) -> Path:
        """Where everything of this profile is written."""
        return ROOT / self.results / self.profile

    @property
    def summary(self) -> Path:
        """Where plans, tables, figures and the report of this profile and variant are written."""
        return self.folder / self.variant

    @property
    def torch_device(self) -> torch.device:
        """The device asked for; auto is the GPU if there is one."""
        auto = "cuda" if torch.cuda.is_available() else "cpu"
        return torch.device(auto if self.device == "auto" else self.device)

    def __post_init__(self) -> None:
        for entry in dataclasses.fields(self):
            object.__setattr__(self, entry.name, typed(entry.name, entry.type, getattr(self, entry.name)))
        _check(self)
        strategy = STRATEGIES[self.strategy]  # what it ignores makes no other run: its alpha, its start
        if strategy.alpha is not None:
            object.__setattr__(self, "alpha", strategy.alpha)
        if parents(strategy, self.init) == dict(strategy.loads):
            kept = {name: value for name, value in self.overrides.items() if name != "init"}
            object.__setattr__(self, "init", "scratch")
            object.__setattr__(self, "overrides", kept)

    def replace(self, **changes: Any) -> "Config":
        """A copy with other values, checked."""
        return dataclasses.replace(self, **changes)


# What tells no run from another: where it runs, how it saves memory, and what else the grid holds.
NOT_OF_A_RUN = (
    "profile",
    "device",
    "checkpointing",
    "metric_workers",
    "strategies",
    "alphas",
    "seeds",
    "results",
    "overrides",
)
_CHOICES = {
    "strategy": STRATEGIES,
    "mixer": MIXERS,
    "init": ("scratch", "pretrained", "frontend", "backend"),
    "optimizer": ("adam", "adamw"),
    "schedule": ("constant", "cosine"),
    "select": ("accuracy", "loss"),
    "train_input": ("clean", "noisy", None),
    "test_input": ("clean", "noisy", None),
}
_AT_LEAST_0 = ("seed", "seeds", "contamination_seed", "weight_decay")
_AT_LEAST_1 = ("batch_size", "epochs", "patience", "threads", "metric_workers", "mix_channels", "stem")
_AT_LEAST_1 += ("frontend_layers", "frontend_channels", "frontend_chunk")
_AT_LEAST_1 += ("tcn_channels", "tcn_hidden", "tcn_repeats", "tcn_blocks")
_MOST = dict.fromkeys(("frontend_layers", "tcn_blocks", "tcn_repeats"), 20)  # of doublings, most of all
_MOST |= dict.fromkeys(("seed", "seeds", "contamination_seed"), 2**32 - 1)
_LEAST = dict.fromkeys(_AT_LEAST_0, 0) | dict.fromkeys(_AT_LEAST_1, 1)


def identity(config: Config) -> dict[str, Any]:
    """What decides a run's numbers, as plain JSON values."""
    values = dataclasses.asdict(config)
    return json.loads(json.dumps({name: value for name, value in values.items() if name not in NOT_OF_A_RUN}))


def parent_of(config: Config, strategy: str) -> Config:
    """The run that one of this run's parts is taken from: the same experiment with another strategy, from scratch."""
    kept = {name: value for name, value in config.overrides.items() if name != "init"}
    return config.replace(strategy=strategy, init="scratch", overrides=kept)


def _check(config: Config) -> None:
    for name, known in _CHOICES.items():
        if getattr(config, name) not in known:
            raise ConfigError(unknown(name, getattr(config, name), known))
    for name in config.strategies:
        if name not in STRATEGIES:
            raise ConfigError(unknown("strategy", name, STRATEGIES))
    if not all(0 <= alpha <= 1 for alpha in (config.alpha, *config.alphas)):
        raise ConfigError(f"alpha={config.alpha}, alphas={config.alphas}: must lie between 0 and 1")
    for name, least in _LEAST.items():
        values = getattr(config, name)
        if values is not None and not all(value >= least for value in _several(values)):
            raise ConfigError(f"{name}={values!r}: must be {least} or more")
    for name, most in _MOST.items():
        if max(_several(getattr(config, name))) > most:
            raise ConfigError(f"{name}={getattr(config, name)!r}: must be {most} or less")
    if config.frontend_chunk is not None and config.frontend_chunk % 2**config.frontend_layers:
        stride = 2**config.frontend_layers
        raise ConfigError(
            f"frontend_chunk={config.frontend_chunk}: must be a multiple of {stride}, 2 ** frontend_layers"
        )
    for name in ("clip_samples", "learning_rate", "clip_norm"):
        if not getattr(config, name) > 0:
            raise ConfigError(f"{name.replace('samples', 'seconds')}: {getattr(config, name)} must be greater than 0")
    for name in ("snr_db", "snr_db_test", "strategies", "alphas", "seeds", "noise_types_train", "noise_types_test"):
        if getattr(config, name) == ():
            raise ConfigError(f"{name} is empty: give at least one value")
    check_device(config.device)


def _several(values: Any) -> tuple:
    return values if isinstance(values, tuple) else (values,)
