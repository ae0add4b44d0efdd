"""How front-end and back-end are joined: five small networks, and one table of everything that can be trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jointlib.tcn import TCN
from jointlib.waveunet import WaveUNet


class JointOutput(NamedTuple):
    """enhanced (B, 1, T) and logits (B, classes); None where a network lacks the part that makes it."""

    enhanced: Tensor | None
    logits: Tensor | None


class Classifier(nn.Module):
    """The back-end alone, on the wave. All take the arguments of WaveUNet and TCN; none: the published networks."""

    def __init__(self, backend: Mapping[str, Any] = {}):
        super().__init__()
        self.backend = TCN(1, **backend)

    def forward(self, wave: Tensor) -> JointOutput:
        return JointOutput(None, self.backend(wave))


class Enhancer(nn.Module):
    """The front-end alone."""

    def __init__(self, frontend: Mapping[str, Any] = {}):
        super().__init__()
        self.frontend = WaveUNet(**frontend)

    def forward(self, wave: Tensor) -> JointOutput:
        enhanced, _ = self.frontend(wave)
        return JointOutput(enhanced, None)


class JT(nn.Module):
    """JT: the back-end classifies the enhanced wave, so that its gradient reaches all of the front-end."""

    def __init__(self, frontend: Mapping[str, Any] = {}, backend: Mapping[str, Any] = {}):
        super().__init__()
        self.frontend = WaveUNet(**frontend)
        self.backend = TCN(1, **backend)

    def forward(self, wave: Tensor) -> JointOutput:
        enhanced, _ = self.frontend(wave)
        return JointOutput(enhanced, self.backend(enhanced))


class BN(nn.Module):
    """BN: the back-end classifies the front-end's bottleneck, so that its gradient reaches the encoder only."""

    def __init__(self, frontend: Mapping[str, Any] = {}, backend: Mapping[str, Any] = {}):
        super().__init__()
        self.frontend = WaveUNet(**frontend)
        self.backend = TCN(self.frontend.bottleneck_channels, **backend)

    def forward(self, wave: Tensor) -> JointOutput:
        enhanced, bottleneck = self.frontend(wave)
        return JointOutput(enhanced, self.backend(bottleneck))


class BNMix(nn.Module):
    """BN-Mix: the back-end classifies the bottleneck, concatenated with one 1-D convolution of the noisy wave.

    The paper does not give its size. Here its window and stride are the bottleneck's, so that their frames coincide.
    """

    def __init__(self, frontend: Mapping[str, Any] = {}, backend: Mapping[str, Any] = {}, mix_channels: int = 64):
        super().__init__()
        self.frontend = WaveUNet(**frontend)
        stride = self.frontend.stride
        self.wave_filter = nn.Conv1d(1, mix_channels, kernel_size=stride, stride=stride)
        self.backend = TCN(self.frontend.bottleneck_channels + mix_channels, **backend)

    def forward(self, wave: Tensor) -> JointOutput:
        enhanced, bottleneck = self.frontend(wave)  # bottleneck (B, C, F)
        missing = bottleneck.shape[-1] * self.frontend.stride - wave.shape[-1]
        filtered = self.wave_filter(F.pad(wave, (0, missing)))  # (B, mix_channels, F)
        return JointOutput(enhanced, self.backend(torch.cat([bottleneck, filtered], dim=1)))


CLASSIFY_WAVE = (Classifier, JT)  # the networks whose back-end classifies a wave, not the bottleneck


@dataclass(frozen=True)
class Strategy:
    """A row of the table below."""

    title: str  # how tables and figures name it
    network: type[nn.Module]  # one of the modules above
    train_input: str = "noisy"  # or clean
    test_input: str = "noisy"
    alpha: float | None = None  # the weight of the MSE; None: the experiment's parameter
    loads: Mapping[str, str] = field(default_factory=dict)  # part -> strategy whose run it always starts from
    frozen: tuple[str, ...] = ()  # parts that are not trained
    pretrained: Mapping[str, str] = field(default_factory=dict)  # part -> the same, with init="pretrained"


_ENHANCER = {"frontend": "enhancement"}
_CASCADE = {"frontend": "enhancement", "backend": "classifier_clean"}
_FROZEN_FRONTEND = {"loads": _ENHANCER, "frozen": ("frontend",)}
_FROZEN_MIX = {"backend": "bn_mix_frozen", "wave_filter": "bn_mix_frozen"}

STRATEGIES: dict[str, Strategy] = {
    "classifier_clean": Strategy("Classifier, clean", Classifier, train_input="clean", alpha=0.0),
    "classifier_noisy": Strategy("Classifier, noisy", Classifier, alpha=0.0),
    "enhancement": Strategy("Enhancement alone", Enhancer, alpha=1.0),
    "cascade_clean": Strategy("Cascade, clean", JT, alpha=0.0, loads=_CASCADE, frozen=("frontend", "backend")),
    "cascade_enhanced": Strategy("Cascade, enhanced", JT, alpha=0.0, **_FROZEN_FRONTEND, pretrained=_CASCADE),
    "jt": Strategy("JT", JT, pretrained=_CASCADE),
    "jt_clean": Strategy("JT-Clean", JT, train_input="clean", test_input="clean", pretrained=_CASCADE),
    "bn": Strategy("BN", BN, pretrained=_ENHANCER | {"backend": "bn_frozen"}),
    "bn_mix": Strategy("BN-Mix", BNMix, pretrained=_ENHANCER | _FROZEN_MIX),
    "bn_frozen": Strategy("BN, frozen front-end", BN, alpha=0.0, **_FROZEN_FRONTEND),
    "bn_mix_frozen": Strategy("BN-Mix, frozen front-end", BNMix, alpha=0.0, **_FROZEN_FRONTEND),
}
INITS = ("scratch", "pretrained", "frontend", "backend")


def parents(strategy: Strategy, init: str) -> dict[str, str]:
    """Which part starts from which strategy's run: all that can with "pretrained", or the one that `init` names."""
    chosen = strategy.pretrained if init == "pretrained" else {init: strategy.pretrained.get(init)}
    return {part: parent for part, parent in chosen.items() if parent} | dict(strategy.loads)


def freeze(model: nn.Module, parts: tuple[str, ...]) -> nn.Module:
    """Take the gradient from some parts; see `set_training` for their batch-norm statistics."""
    for part in parts:
        getattr(model, part).requires_grad_(False)
    return model


def set_training(model: nn.Module) -> nn.Module:
    """Put a network into training mode, but for frozen parts, whose batch-norm statistics stand still."""
    model.train()
    for part in model.children():
        if not any(parameter.requires_grad for parameter in part.parameters()):
            part.eval()
    return model
