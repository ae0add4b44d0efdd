"""The parameters of one experiment. A value that is impossible is an error at once."""

from collections.abc import Collection, Mapping
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator
from tyro.conf import Suppress

from jointlib import ROOT, SAMPLE_RATE, SPLITS
from jointlib.config.values import Parameters, Share, several
from jointlib.losses import TERMS
from jointlib.strategies import FRONTENDS, INITS, JT, STRATEGIES, Classifier, Strategy, parents, trainings

StrategyName = Literal[tuple(STRATEGIES)]
Blocks = tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
Weights = Annotated[dict[Literal[tuple(TERMS)], NonNegativeFloat], Field(min_length=1)]
PerSplit = Annotated[dict[Literal[SPLITS], PositiveInt], Field(min_length=3)]
PerNoise = Annotated[dict[Literal["train", "test"], PositiveInt], Field(min_length=2)]
WordsPerMinute = Annotated[int, Field(ge=80, le=450)]  # the limits of espeak-ng
VOICES = {"train": 240, "valid": 80, "test": 80}  # of the embedded corpus: accents times voice shapes


class EmbeddedCorpus(Parameters):
    """The size of a synthetic corpus. The defaults are the size of Fluent Speech Commands."""

    utterances: PerSplit = Field({"train": 23_132, "valid": 3_118, "test": 3_793})
    speakers: PerSplit = Field({"train": 77, "valid": 10, "test": 10})
    phrasings: PositiveInt = 8  # wordings of each of the 31 intents, at most 8
    phrasings_of_test_only: NonNegativeInt = 0  # further wordings, of the test split alone
    words_per_minute: tuple[WordsPerMinute, WordsPerMinute] = (150, 220)  # slowest and fastest speaker
    noise_files: PerNoise = Field({"train": 12, "test": 5})  # of each type
    noise_seconds: PositiveFloat = 20.0  # length of a noise file
    seed: NonNegativeInt = 0

    @model_validator(mode="after")
    def _can_be_synthesised(self) -> "EmbeddedCorpus":
        if (wanted := self.phrasings + self.phrasings_of_test_only) > 8:
            raise ValueError(f"phrasings and phrasings_of_test_only: {wanted} wordings asked for, there are 8")
        for split, wanted in self.speakers.items():
            if wanted > VOICES[split]:
                raise ValueError(f"speakers: {wanted} wanted for {split}, there are {VOICES[split]} voices")
        return self


class Config(Parameters):
    """All parameters of one run. The defaults are the published sizes; what the paper leaves open is marked (open).

    The comment behind a field is its help in ``jointlib train --help``. A field with ``exclude`` does not affect a
    run's numbers; the command line does not offer a field that is ``Suppress``.
    """

    profile: str = Field(exclude=True)  # name of a profile, or path of a YAML file
    strategy: StrategyName = "jt"
    alpha: Share = 0.5  # weight of enhancement in the loss, 0 to 1; ignored where the strategy has its own
    seed: NonNegativeInt = 0  # of the weights and of the order of utterances
    init: Literal[INITS] = "scratch"  # pretrained: JT and cascade_enhanced start from a trained classifier

    corpus: str = "data/fluent_speech_commands_dataset"  # speech in the layout of Fluent Speech Commands
    noise: str = "data/MS-SNSD"  # holds noise_train and noise_test
    embedded: Suppress[EmbeddedCorpus | None] = None  # a synthetic corpus, written beside `corpus` if it is missing
    clip_seconds: Annotated[PositiveFloat, Field(le=600)] = 4.0  # utterances are cut or zero-padded to this

    snr_db: several(float) = (0, 5, 10, 15, 20)  # (open) the default is MS-SNSD's
    snr_db_test: several(float) | None = None  # of the test split; None: the same
    mixer: Literal["exact", "ms_snsd"] = "exact"  # (open) scale the noise exactly, or as MS-SNSD's script does
    noise_types_train: several(str) | None = None  # (open) None: all; validation uses the types of training
    noise_types_test: several(str) | None = None  # (open) None: all
    fresh_noise: bool = True  # (open) draw the noise of training anew in each epoch
    contamination_seed: NonNegativeInt = 0  # of each utterance's noise and SNR

    frontend: Literal[tuple(FRONTENDS)] | None = None  # None: the strategy's own, in the paper wave_u_net
    frontend_layers: PositiveInt = 12  # of the Wave-U-Net
    frontend_channels: PositiveInt = 24  # of the Wave-U-Net: each layer adds as many
    frontend_chunk: PositiveInt | None = None  # samples; 16384: the Wave-U-Net enhances in separate chunks
    mask_filters: tuple[PositiveInt, PositiveInt] = (320, 160)  # of the mask_net: window and hop in samples
    mask_blocks: Blocks = (64, 128, 1, 6)  # of the mask_net: channels, hidden channels, repeats, blocks in each
    tcn_channels: PositiveInt = 64  # of the classifier, as the next three
    tcn_hidden: PositiveInt = 128  # channels inside a block
    tcn_repeats: PositiveInt = 2
    tcn_blocks: PositiveInt = 5  # in each repeat
    stem: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None  # filterbank on a waveform: window, hop, bands
    mix_channels: PositiveInt = 64  # (open) of BN-Mix's convolution

    loss: Weights | None = None  # weights of the enhancement's terms; None: the strategy's own, in the paper mse 1
    gradient: Share | None = None  # share of the classification's gradient that reaches the front-end, 0 to 1
    optimizer: Literal["adam", "adamw"] = "adam"  # (open)
    learning_rate: PositiveFloat = 1e-3  # (open)
    weight_decay: NonNegativeFloat = 0.0
    schedule: Literal["constant", "cosine"] = "constant"  # (open) cosine: a warm-up, then a decay to zero
    clip_norm: PositiveFloat = 5.0  # largest norm of the gradient
    batch_size: PositiveInt = 32  # (open) utterances
    steps: PositiveInt = 145_000  # (open) of the optimiser, shared equally by all trainings that make up a run
    validate_every: PositiveInt = 725  # (open) steps; a checkpoint is written each time
    patience: PositiveInt = 20  # (open) training ends after so many validations in a row without improvement
    select: Literal["accuracy", "loss"] = "accuracy"  # (open) of the validation, which chooses the weights
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", exclude=True)  # auto: the GPU if there is one
    bf16: bool | None = None  # train under bfloat16 autocast; None: on a GPU
    compile: bool = Field(False, exclude=True)  # torch.compile of the networks: minutes at the first step
    checkpointing: bool = Field(False, exclude=True)  # of the residual blocks' activations: less memory, more time
    threads: PositiveInt | None = None  # of torch; a number makes CPU runs repeat to the last bit
    metric_workers: PositiveInt | None = Field(None, exclude=True)  # processes that score speech; None: one per core
    results: str = Field("results", exclude=True)  # folder

    # What a grid consists of, and what differs from the profile, NAME=VALUE by commas, which `load_config` sets.
    strategies: Suppress[several(StrategyName)] = Field(tuple(STRATEGIES), exclude=True)
    alphas: Suppress[several(Share)] = Field((0.0, 0.1, 0.5, 0.9), exclude=True)
    seeds: Suppress[several(NonNegativeInt)] = Field((0,), exclude=True)
    variant: Suppress[str] = Field("", exclude=True)

    @property
    def run_name(self) -> str:
        """Name of this run's folder: strategy, alpha, seed, and what differs from the profile."""
        alpha = f"_alpha{self.alpha:g}" if STRATEGIES[self.strategy].alpha is None else ""
        return "_".join([f"{self.strategy}{alpha}_seed{self.seed}", *([self.variant] if self.variant else [])])

    @property
    def folder(self) -> Path:
        """Where everything of this profile is written."""
        return ROOT / self.results / self.profile

    @property
    def summary(self) -> Path:
        """Where plans, tables, figures and the report of this profile and variant are written."""
        return self.folder / self.variant

    @property
    def clip_samples(self) -> int:
        """Length of a clip at 16 kHz."""
        return round(self.clip_seconds * SAMPLE_RATE)

    @property
    def own_steps(self) -> int:
        """Steps of this run's own training; the runs that it starts from have had their share."""
        return max(1, self.steps // len(trainings(self.strategy, self.init)))

    @property
    def enhances_by(self) -> str:
        """The front-end: wave_u_net or mask_net."""
        return self.frontend or STRATEGIES[self.strategy].frontend

    @property
    def enhancement_loss(self) -> Mapping[str, float]:
        """Weights of the enhancement's terms in the loss."""
        return self.loss or STRATEGIES[self.strategy].loss

    @property
    def trained_on(self) -> str:
        """The network's input in training and validation: clean or noisy."""
        return STRATEGIES[self.strategy].train_input

    @property
    def tested_on(self) -> str:
        """The network's input in the test: clean or noisy."""
        return STRATEGIES[self.strategy].test_input

    @property
    def torch_device(self) -> torch.device:
        """The device asked for; auto is the GPU if there is one. RuntimeError: torch cannot use it, and says why."""
        auto = "cuda" if torch.cuda.device_count() else "cpu"  # a GPU that CUDA cannot use is an error, not a CPU
        device = torch.device(auto if self.device == "auto" else self.device)
        torch.empty(0, device=device)
        return device

    def replace(self, **changes: Any) -> "Config":
        """A copy with other values, checked."""
        return Config(**(dict(self) | changes))

    @model_validator(mode="before")
    @classmethod
    def _reset_what_the_strategy_ignores(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Reset parameters that the strategy ignores, so that they do not make a second run of the same numbers."""
        row = STRATEGIES.get(str(values.get("strategy", "jt")))
        if row is None or values.get("init", "scratch") not in INITS:
            return values  # refused later
        reset = ignored(row)
        return values | reset | {"variant": without(values.get("variant", ""), reset)}

    @model_validator(mode="after")
    def _sizes_fit(self) -> "Config":
        """The front-ends check the same when they are built, which is after hours of the runs that they start from."""
        (window, hop), chunk, stride = self.mask_filters, self.frontend_chunk, 2**self.frontend_layers
        if window % (2 * hop):
            raise ValueError(f"mask_filters={self.mask_filters}: the hop must divide half the window")
        if chunk is not None and chunk % stride:
            raise ValueError(f"frontend_chunk={chunk}: must be a multiple of {stride}, 2 ** frontend_layers")
        return self


def ignored(row: Strategy) -> dict[str, Any]:
    """The parameters that a strategy ignores, with the value that its runs have."""
    found: dict[str, Any] = {} if row.alpha is None else {"alpha": row.alpha}
    if not row.pretrained:
        found["init"] = "scratch"
    if not issubclass(row.network, JT):
        found["gradient"] = None
    if row.network is Classifier:
        found |= {"frontend": None, "loss": None}
    return found


def without(variant: str, names: Collection[str]) -> str:
    """A variant (NAME=VALUE,NAME=VALUE) without some of its parameters."""
    return ",".join(part for part in variant.split(",") if part.partition("=")[0] not in names)


def identity(config: Config) -> dict[str, Any]:
    """What decides a run's numbers, as plain JSON values."""
    return config.model_dump(mode="json")


def parent_of(config: Config, strategy: str) -> Config:
    """The run that one of this run's parts is taken from: another strategy, from scratch, its share of the steps."""
    made_of, shares = (len(trainings(*row)) for row in ((config.strategy, config.init), (strategy, "scratch")))
    steps = config.steps if shares == made_of else max(1, config.steps // made_of) * shares
    variant = without(config.variant, ("init",) if steps == config.steps else ("init", "steps"))
    if steps != config.steps:
        variant = ",".join(sorted([*filter(None, variant.split(",")), f"steps={steps}"]))
    return config.replace(strategy=strategy, init="scratch", steps=steps, variant=variant)


def origins(config: Config) -> list[Config]:
    """The runs that a run's parts are taken from."""
    wanted = parents(STRATEGIES[config.strategy], config.init)
    return [parent_of(config, name) for name in sorted(set(wanted.values()))]


def grid(profile: Config) -> dict[str, Config]:
    """Every run of a profile by its name, and every run that one of them starts from."""
    left = [
        profile.replace(strategy=name, alpha=alpha, seed=seed)
        for seed, name in product(profile.seeds, profile.strategies)
        for alpha in (profile.alphas if STRATEGIES[name].alpha is None else [STRATEGIES[name].alpha])
    ]
    for cell in left:  # those that are added have their turn, too
        left += origins(cell)
    return {cell.run_name: cell for cell in left}
