"""``python -m benchmarks``: everything about speed on a CPU; results/reference/benchmarks.json and benchmarks.png."""

import os
import platform
import time
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.axes import Axes

from benchmarks import contamination, enhancement, feeding, growth, roofline, step
from jointlib.config import ROOT
from jointlib.figures import use_style
from jointlib.files import write_between, write_json

TARGET = ROOT / "results/reference"
PARTS = {
    "step": step.measure,
    "feeding": feeding.measure,
    "contamination": contamination.measure,
    "enhancement": enhancement.measure,
    "roofline": lambda: roofline.measure().to_dict("records"),
    "growth": growth.measure,
}


def draw(measured: dict[str, Any]) -> plt.Figure:
    """Four panels: the step, the enhancers, the clip's length, the corpus's size."""
    use_style()
    figure, axes = plt.subplots(2, 2, figsize=(11, 7.4))
    _steps(axes[0, 0], measured["step"]["published"])
    _enhancers(axes[0, 1], measured["enhancement"])
    _clips(axes[1, 0], measured["growth"])
    _corpora(axes[1, 1], measured["growth"]["corpus"])
    figure.tight_layout()
    return figure


def _steps(axis: Axes, rows: dict[str, dict[str, float]]) -> None:
    for shift, kind, label in ((-0.2, "plain", "plain reference"), (0.2, "library", "jointlib")):
        bars = axis.bar([place + shift for place in range(len(rows))], [row[f"{kind}_s"] for row in rows.values()], 0.4)
        axis.bar_label(bars, fmt="%.2g", fontsize=10)
        bars.set_label(label)
    axis.set_xticks(range(len(rows)), [{"jt": "JT", "bn": "BN", "bn_mix": "BN-Mix"}[name] for name in rows])
    axis.set(ylabel="s an utterance of 4 s", title="Training step, published sizes")
    axis.legend(frameon=False)
    axis.margins(y=0.12)


def _enhancers(axis: Axes, rows: dict[str, dict[str, float]]) -> None:
    names = [name.replace(", ", ",\n").replace(" (", "\n(") for name in rows]
    bars = axis.barh(names[::-1], [row["real_time_factor"] for row in rows.values()][::-1])
    axis.bar_label(bars, fmt="%.3g", fontsize=10, padding=3)
    axis.set_xscale("log")
    axis.margins(x=0.15)
    axis.set(xlabel="real-time factor, one thread", title="Enhancing a 3 s clip")
    axis.tick_params(axis="y", labelsize=10)


def _clips(axis: Axes, rows: dict[str, list[dict[str, float]]]) -> None:
    for name, label, marker in (("whole", "at once", "o"), ("tiled", "in tiles", "s")):
        points = rows[name]
        axis.plot([p["seconds"] for p in points], [p["peak_mb"] / 1000 for p in points], marker=marker, label=label)
    axis.set(xlabel="clip (s)", ylabel="peak memory (GB)", title="Enhancing a long clip", ylim=(0, None))
    axis.legend(frameon=False)


def _corpora(axis: Axes, points: list[dict[str, float]]) -> None:
    for name, label, marker in (("read_s", "first reading", "o"), ("read_again_s", "from the cache", "s")):
        axis.plot([p["utterances"] for p in points], [p[name] for p in points], marker=marker, label=label)
    axis.plot([p["utterances"] for p in points], [p["mix_s"] for p in points], marker="^", label="mixing an epoch")
    axis.set(xlabel="utterances of 1 s", ylabel="s", title="A growing corpus", xscale="log", yscale="log")
    axis.set_xticks([p["utterances"] for p in points], [f"{p['utterances']:,}" for p in points])
    axis.minorticks_off()
    axis.legend(frameon=False)


def main() -> None:
    """Measure, print how long each part took, write."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    measured: dict[str, Any] = {"machine": f"{machine}, torch {torch.__version__}, one thread"}
    for name, measure in PARTS.items():
        started = time.perf_counter()
        measured[name] = measure()
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    write_json(TARGET / "benchmarks.json", measured)
    table = pd.DataFrame(measured["roofline"]).to_markdown(index=False, floatfmt=".3g")
    write_between(ROOT / "benchmarks/README.md", "roofline", table)
    draw(measured).savefig(TARGET / "benchmarks.png")


if __name__ == "__main__":
    main()
