"""The published networks written down literally, slowly on purpose: what the library is compared with.

Torch gives the convolution, the matrix product and the gradients. Everything else is spelled out, an utterance at a
time, except batch norm in training, which needs the batch. Weights come from a module of the library.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from jointlib.strategies import JointBottleneck, JointBottleneckMix, JointWave


def leaky(x: Tensor, slope: Tensor | float) -> Tensor:
    """x where it is positive, slope * x elsewhere."""
    return torch.where(x > 0, x, slope * x)


def stretch(x: Tensor) -> Tensor:
    """Twice as many samples, linear in between, the first and the last sample kept: (B, C, T) -> (B, C, 2 T)."""
    length = x.shape[-1]
    position = torch.arange(2 * length, dtype=torch.float64) * (length - 1) / (2 * length - 1)
    left = position.floor().long()
    right = (left + 1).clamp(max=length - 1)
    weight = (position - left).to(x.dtype)
    return (1 - weight) * x[..., left] + weight * x[..., right]


class PlainJoint(nn.Module):
    """JT, BN or BN-Mix with the weights of one of the library's modules: wave (B, 1, T) -> enhanced, logits.

    In training mode `weights` collects the running statistics as batch norm does, with a momentum of 0.1.
    """

    def __init__(self, model: JointWave | JointBottleneck | JointBottleneckMix):
        super().__init__()
        trained = {name for name, _ in model.named_parameters()}
        self.weights = {
            name: value.detach().clone().requires_grad_(name in trained) for name, value in model.state_dict().items()
        }
        self.kind, self.chunk = type(model), model.frontend.chunk
        self.layers = len(model.frontend.encoder)
        self.dilations = [block.body[3].dilation[0] for block in model.backend.features if hasattr(block, "body")]
        self.train(model.training)

    def forward(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Return enhanced (B, 1, T) and logits (B, classes)."""
        enhanced, bottleneck = self.frontend(wave)
        if self.kind is JointWave:
            return enhanced, self.backend(enhanced)
        if self.kind is JointBottleneck:
            return enhanced, self.backend(bottleneck)
        weight, bias = self.weights["wave_filter.weight"], self.weights["wave_filter.bias"]
        stride = weight.shape[-1]
        frames = F.pad(wave, (0, -wave.shape[-1] % stride)).unflatten(-1, (-1, stride))  # (B, 1, F, stride)
        frames = frames[:, :, : bottleneck.shape[-1]]
        missing = bottleneck.shape[-1] - frames.shape[2]
        filtered = (F.pad(frames, (0, 0, 0, missing)) @ weight[:, 0].T + bias)[:, 0].transpose(1, 2)
        return enhanced, self.backend(torch.cat([bottleneck, filtered], dim=1))

    # The front-end

    def frontend(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """Wave-U-Net: noisy (B, 1, T) -> enhanced (B, 1, T), bottleneck (B, C, F)."""
        batch, _, length = wave.shape
        unit = self.chunk or 2**self.layers
        padded = torch.cat([wave, wave.new_zeros(batch, 1, -length % unit)], dim=-1)
        pieces = list(padded.split(self.chunk or padded.shape[-1], dim=-1))
        if self.training:  # batch norm sees all utterances and all their chunks at once
            enhanced, bottleneck = self.unet(torch.cat(pieces))
            enhanced, bottleneck = enhanced.split(batch), bottleneck.split(batch)
        else:
            done = [[self.unet(row[None]) for row in piece] for piece in pieces]
            enhanced, bottleneck = ([torch.cat([row[part] for row in rows]) for rows in done] for part in (0, 1))
        return torch.cat(list(enhanced), dim=-1)[..., :length], torch.cat(list(bottleneck), dim=-1)

    def unet(self, wave: Tensor) -> tuple[Tensor, Tensor]:
        """All of (B, 1, T) at once; 2 ** layers divides T."""
        hidden, skips = wave, []
        for level in range(self.layers):
            hidden = self.conv_block(hidden, f"frontend.encoder.{level}")
            skips.append(hidden)
            hidden = hidden[..., torch.arange(0, hidden.shape[-1], 2)]
        bottleneck = hidden = self.conv_block(hidden, "frontend.middle")
        for level in range(self.layers):
            joined = torch.cat([stretch(hidden), skips[-1 - level]], dim=1)
            hidden = self.conv_block(joined, f"frontend.decoder.{level}")
        return torch.tanh(self.conv(torch.cat([hidden, wave], dim=1), "frontend.head.0")), bottleneck

    def conv_block(self, x: Tensor, name: str) -> Tensor:
        """Convolution, batch norm, LeakyReLU of 0.1."""
        return leaky(self.batch_norm(self.conv(x, f"{name}.0"), f"{name}.1"), 0.1)

    def conv(self, x: Tensor, name: str, dilation: int = 1) -> Tensor:
        """A convolution that keeps the length: (B, C, T) -> (B, C', T); depthwise where its weight has one input."""
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        padding = dilation * (weight.shape[-1] // 2)
        return F.conv1d(x, weight, bias, padding=padding, dilation=dilation, groups=x.shape[1] // weight.shape[1])

    def batch_norm(self, x: Tensor, name: str) -> Tensor:
        """(B, C, T), normalised over B and T in training, by the running statistics otherwise."""
        if self.training:
            mean = x.mean(dim=(0, 2))
            variance = ((x - mean[:, None]) ** 2).mean(dim=(0, 2))
            count = x.shape[0] * x.shape[2]
            with torch.no_grad():
                for key, value in (("mean", mean), ("var", variance * count / (count - 1))):
                    running = self.weights[f"{name}.running_{key}"]
                    running.copy_(0.9 * running + 0.1 * value)
        else:
            mean, variance = self.weights[f"{name}.running_mean"], self.weights[f"{name}.running_var"]
        normalised = (x - mean[:, None]) / torch.sqrt(variance[:, None] + 1e-5)
        return self.weights[f"{name}.weight"][:, None] * normalised + self.weights[f"{name}.bias"][:, None]

    # The back-end

    def backend(self, features: Tensor) -> Tensor:
        """The temporal convolutional network: (B, C, T) -> logits (B, classes)."""
        return torch.cat([self.tcn(utterance[None]) for utterance in features])

    def tcn(self, x: Tensor) -> Tensor:
        """One utterance, (1, C, T) -> (1, classes)."""
        x = self.conv(self.layer_norm(x, "backend.features.0"), "backend.features.1")
        for number, dilation in enumerate(self.dilations, start=2):
            name = f"backend.features.{number}.body"
            hidden = self.conv(x, f"{name}.0")
            hidden = self.layer_norm(leaky(hidden, self.weights[f"{name}.1.weight"]), f"{name}.2")
            hidden = self.conv(hidden, f"{name}.3", dilation)
            hidden = self.layer_norm(leaky(hidden, self.weights[f"{name}.4.weight"]), f"{name}.5")
            x = x + self.conv(hidden, f"{name}.6")
        pooled = leaky(x.mean(dim=-1), self.weights["backend.head.0.weight"])
        return pooled @ self.weights["backend.head.1.weight"].T + self.weights["backend.head.1.bias"]

    def layer_norm(self, x: Tensor, name: str) -> Tensor:
        """(1, C, T), normalised over channels and time together."""
        mean = x.mean()
        variance = ((x - mean) ** 2).mean()
        normalised = (x - mean) / torch.sqrt(variance + 1e-8)
        return self.weights[f"{name}.weight"][:, None] * normalised + self.weights[f"{name}.bias"][:, None]
