"""How front-end and back-end are joined: four small modules, and one table of everything that can be trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from jointlib.tcn import TCN
from jointlib.waveunet import WaveUNet


class JointOutput(NamedTuple):
    """enhanced (B, 1, T) or None, logits (B, classes) or None: what a strategy has neither part for is None."""

    enhanced: Tensor | None
    logits: Tensor | None


class Classifier(nn.Module):
    """The back-end alone, on the wave as it comes."""

    def __init__(self, frontend: Mapping, backend: Mapping, mix_channels: int):
        super().__init__()
        self.backend = TCN(1, **backend)

    def forward(self, wave: Tensor) -> JointOutput:
        return JointOutput(None, self.backend(wave))


class Enhancer(nn.Module):
    """The front-end alone."""

    def __init__(self, frontend: Mapping, backend: Mapping, mix_channels: int):
        super().__init__()
        self.frontend = WaveUNet(**frontend)

    def forward(self, wave: Tensor) -> JointOutput:
        return JointOutput(self.frontend(wave)[0], None)


class JointWave(nn.Module):
    """JT: the back-end reads the enhanced wave."""

    def __init__(self, frontend: Mapping, backend: Mapping, mix_channels: int):
        super().__init__()
        self.frontend = WaveUNet(**frontend)
        self.backend = TCN(1, **backend)

    def forward(self, wave: Tensor) -> JointOutput:
        enhanced, _ = self.frontend(wave)
        return JointOutput(enhanced, self.backend(enhanced))


class JointBottleneck(nn.Module):
    """BN: the back-end reads the front-end's bottleneck, without a stem (its frames are strided already)."""

    def __init__(self, frontend: Mapping, backend: Mapping, mix_channels: int):
        super().__init__()
        self.frontend = WaveUNet(**frontend)
        self.backend = TCN(self.frontend.bottleneck_channels, **{**backend, "stem": None})

    def forward(self, wave: Tensor) -> JointOutput:
        enhanced, bottleneck = self.frontend(wave)
        return JointOutput(enhanced, self.backend(bottleneck))


class JointBottleneckMix(nn.Module):
    """BN-Mix: the back-end reads the bottleneck and one 1-D convolution of the noisy wave, concatenated.

    The paper gives neither the convolution's size nor how the two are combined: here its window and stride are the
    bottleneck's stride, so that the frames coincide, and its width is `mix_channels`.
    """

    def __init__(self, frontend: Mapping, backend: Mapping, mix_channels: int):
        super().__init__()
        self.frontend = WaveUNet(**frontend)
        stride = self.frontend.stride
        self.wave_filter = nn.Conv1d(1, mix_channels, kernel_size=stride, stride=stride)
        self.backend = TCN(self.frontend.bottleneck_channels + mix_channels, **{**backend, "stem": None})

    def forward(self, wave: Tensor) -> JointOutput:
        enhanced, bottleneck = self.frontend(wave)  # (B, C, F)
        missing = bottleneck.shape[-1] * self.frontend.stride - wave.shape[-1]
        filtered = self.wave_filter(nn.functional.pad(wave, (0, missing)))  # (B, mix_channels, F)
        return JointOutput(enhanced, self.backend(torch.cat([bottleneck, filtered], dim=1)))


@dataclass(frozen=True)
class Strategy:
    """A row of the table below.

    Attributes:
        title: how tables and figures name it.
        network: one of the modules above.
        train_input, test_input: "clean" or "noisy".
        alpha: the loss weight, None where it is the experiment's parameter.
        loads: part -> strategy whose finished run it is taken from, always.
        frozen: parts that are not trained.
        pretrained: part -> strategy it is taken from with INIT=pretrained.
    """

    title: str
    network: type[nn.Module]
    train_input: str = "noisy"
    test_input: str = "noisy"
    alpha: float | None = None
    loads: Mapping[str, str] = field(default_factory=dict)
    frozen: tuple[str, ...] = ()
    pretrained: Mapping[str, str] = field(default_factory=dict)


_CASCADE = {"frontend": "enhancement", "backend": "classifier_clean"}
_ENHANCER = {"frontend": "enhancement"}

STRATEGIES: dict[str, Strategy] = {
    "classifier_clean": Strategy("Classifier, clean", Classifier, train_input="clean", alpha=0.0),
    "classifier_noisy": Strategy("Classifier, noisy", Classifier, alpha=0.0),
    "enhancement": Strategy("Enhancement alone", Enhancer, alpha=1.0),
    "cascade_clean": Strategy("Cascade, clean", JointWave, alpha=0.0, loads=_CASCADE, frozen=("frontend", "backend")),
    "cascade_enhanced": Strategy(
        "Cascade, enhanced", JointWave, alpha=0.0, loads=_ENHANCER, frozen=("frontend",), pretrained=_CASCADE
    ),
    "jt": Strategy("JT", JointWave, pretrained=_CASCADE),
    "jt_clean": Strategy("JT-Clean", JointWave, train_input="clean", test_input="clean", pretrained=_CASCADE),
    "bn": Strategy("BN", JointBottleneck, pretrained=_ENHANCER | {"backend": "bn_frozen"}),
    "bn_mix": Strategy(
        "BN-Mix",
        JointBottleneckMix,
        pretrained=_ENHANCER | {"backend": "bn_mix_frozen", "wave_filter": "bn_mix_frozen"},
    ),
    "bn_frozen": Strategy("BN, frozen front-end", JointBottleneck, alpha=0.0, loads=_ENHANCER, frozen=("frontend",)),
    "bn_mix_frozen": Strategy(
        "BN-Mix, frozen front-end", JointBottleneckMix, alpha=0.0, loads=_ENHANCER, frozen=("frontend",)
    ),
}


def parents(strategy: Strategy, init: str) -> dict[str, str]:
    """Which part starts from which strategy's run: init is "scratch", "pretrained", or the name of one part."""
    chosen = strategy.pretrained if init == "pretrained" else {init: strategy.pretrained.get(init)}
    return {**{part: parent for part, parent in chosen.items() if parent}, **strategy.loads}


def set_training(model: nn.Module, frozen: tuple[str, ...] = ()) -> nn.Module:
    """Put a network into training mode; frozen parts get no gradient, and their batch-norm statistics stand still."""
    model.train()
    for part in frozen:
        getattr(model, part).eval().requires_grad_(False)
    return model
