"""Time to enhance a 3 s clip at batch 1, beside other waveform enhancers. Prints JSON.

Weights are random, as they do not affect speed. Demucs is included if installed (pip install --no-deps denoiser
julius).
"""

import argparse
import json
from importlib.util import find_spec

import numpy as np
import torch
from torch import nn
from torchaudio.models import ConvTasNet

from benchmarks.roofline import fastest
from jointlib.config import load_config
from jointlib.support.memory import keep_freed_memory
from jointlib.waveunet import WaveUNet

SECONDS = 3.0


def contestants() -> dict[str, nn.Module]:
    """Enhancers from (1, 1, T) to (1, 1, T), by name."""
    quick = load_config("quick")
    found: dict[str, nn.Module] = {
        "Wave-U-Net, published size": WaveUNet(),
        "Wave-U-Net, quick": WaveUNet(quick.frontend_layers, quick.frontend_channels),
        "Conv-TasNet (torchaudio)": ConvTasNet(num_sources=1),
    }
    if find_spec("denoiser") is not None:
        from denoiser.demucs import Demucs

        found["Demucs, 48 channels (denoiser)"] = Demucs(hidden=48)
    return found


@torch.inference_mode()
def measure(threads: int = 1, rounds: int = 5, device: str = "cpu") -> dict[str, dict[str, float]]:
    """Every enhancer in turn, `rounds` times; parameters, median latency (ms) and real-time factor of each."""
    torch.set_num_threads(threads)
    keep_freed_memory()  # for all of them
    noisy = torch.randn(1, 1, round(SECONDS * 16_000), device=device)
    models = {name: model.eval().to(device) for name, model in contestants().items()}
    for model in models.values():
        model(noisy)
    taken = [
        [fastest(lambda: model(noisy), noisy.device, 1) for model in models.values()]  # noqa: B023
        for _ in range(rounds)
    ]
    return {
        name: {
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "latency_ms": round(1000 * latency, 1),
            "real_time_factor": round(latency / SECONDS, 4),
        }
        for (name, model), latency in zip(models.items(), np.median(taken, axis=0).tolist(), strict=True)
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.enhancement", description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    print(json.dumps(measure(**vars(parser.parse_args())), indent=2))
