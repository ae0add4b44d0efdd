"""The least computation and memory traffic of a training step, against its measured time. Prints a table.

Floating-point operations are those of convolutions and matrix products, counted by torch forward. Bytes are those that
pass through memory if every layer reads its input and writes its output once, the least even with fused layers; on a
GPU under autocast, as in training. Both are multiplied by three, since the backward pass counts twice. (Torch's count
of that pass ignores the groups of a depthwise convolution.) Peak rates are measured on the device itself.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.step import BATCHES, CLASSES, noise_batch
from jointlib.config import Config
from jointlib.runs.run import build_network
from jointlib.support.memory import keep_freed_memory
from jointlib.train import build_optimizer, train_step


def fastest(work: Callable[[], object], device: torch.device, rounds: int = 5) -> float:
    """The shortest time of `work` in some rounds, in seconds."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - started)
    return min(taken)


def peaks(device: torch.device) -> tuple[float, float]:
    """Floating-point operations a second of a matrix product or, if faster, of a convolution; bytes a second of a
    large addition in place."""
    kind, size = (torch.bfloat16, 8192) if device.type == "cuda" else (torch.float32, 2048)
    left, right = torch.randn(2, size, size, device=device).to(kind)
    image = left.view(1, 256, -1, 128).to(memory_format=torch.channels_last)
    kernel = right.view(-1)[: 256 * 256 * 9].view(256, 256, 3, 3).to(memory_format=torch.channels_last)
    of_convolution = 2 * 9 * 256 * image.numel() / fastest(lambda: torch.conv2d(image, kernel, padding=1), device)
    large = torch.zeros(2**28 if device.type == "cuda" else 2**26, device=device)
    product = 2 * size**3 / fastest(lambda: left @ right, device)
    return max(of_convolution, product), 8 * len(large) / fastest(lambda: large.add_(1), device)


def count(model: nn.Module, noisy: torch.Tensor, bf16: bool | None = None) -> tuple[float, float]:
    """Floating-point operations and bytes of a step, without the optimiser's, as it is trained; `bf16` as in Config."""
    moved = 0

    def tally(_module: nn.Module, inputs: tuple, output: object) -> None:
        nonlocal moved
        tensors = [tensor for tensor in (*inputs, output) if isinstance(tensor, torch.Tensor)]
        moved += sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    layers = [module for module in model.modules() if not list(module.children())]
    hooks = [module.register_forward_hook(tally) for module in layers]
    bf16 = torch.autocast(noisy.device.type, torch.bfloat16, enabled=noisy.is_cuda if bf16 is None else bf16)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), bf16:
        model(noisy)
    for hook in hooks:
        hook.remove()
    return 3 * counter.get_total_flops(), 3 * moved


def measure(device: str = "cpu", threads: int = 1, steps: int = 2) -> pd.DataFrame:
    """One row per strategy; all numbers are per utterance of 4 s."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    place, rows = torch.device(device), {}
    rates = [peaks(place)]
    for name, size in BATCHES.items():
        size = size if place.type == "cpu" else 32
        config = Config(profile="full", strategy=name, device=device)
        model = build_network(config, CLASSES).train().to(place)
        batch, optimizer = noise_batch(config, size), build_optimizer(model, config)
        flops, moved = (number / size for number in count(model, batch.noisy))
        train_step(model, batch, optimizer, config)
        taken = fastest(lambda: train_step(model, batch, optimizer, config), place, steps) / size  # noqa: B023
        rows[name] = {"batch": size, "GFLOP": flops / 1e9, "GB": moved / 1e9, "measured (s)": taken}
        rates.append(peaks(place))
    compute, memory = (max(rate) / 1e9 for rate in zip(*rates, strict=True))
    table = pd.DataFrame(rows).T.rename_axis("strategy").reset_index()
    bounds = table.GFLOP / compute, table.GB / memory
    table["compute bound (s)"], table["memory bound (s)"] = bounds
    table["fraction of the tighter bound"] = np.maximum(*bounds) / table["measured (s)"]
    return table.assign(**{"peak GFLOP/s": compute, "peak GB/s": memory})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roofline", description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2)
    print(measure(**vars(parser.parse_args())).to_markdown(index=False, floatfmt=".3g"))
