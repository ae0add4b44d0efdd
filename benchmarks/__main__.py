"""``python -m benchmarks``: speed on a CPU; writes results/reference/benchmarks.json and benchmarks.png."""

import platform
import time
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import torch
from joblib import cpu_count
from matplotlib.axes import Axes

from benchmarks import enhancement, roofline, step
from benchmarks.pages import TARGET, write_between
from jointlib.config import CHECKOUT
from jointlib.findings.figures import use_style
from jointlib.strategies import STRATEGIES
from jointlib.support.files import write_json

PARTS = {
    "step": step.measure,
    "enhancement": enhancement.measure,
    "roofline": lambda: roofline.measure().to_dict("records"),
}


def draw(measured: dict[str, Any]) -> plt.Figure:
    """Two panels: the training step at the published sizes, and the enhancers."""
    use_style()
    figure, axes = plt.subplots(1, 2, figsize=(11, 4))
    _steps(axes[0], measured["step"]["published"])
    _enhancers(axes[1], measured["enhancement"])
    figure.tight_layout()
    return figure


def _steps(axis: Axes, rows: dict[str, dict[str, float]]) -> None:
    for shift, kind, label in ((-0.2, "float32", "float32"), (0.2, "bf16", "bfloat16")):
        places = [place + shift for place in range(len(rows))]
        bars = axis.bar(places, [row[f"{kind}_s"] for row in rows.values()], 0.4, label=label)
        axis.bar_label(bars, fmt="%.2g", fontsize=9)
    axis.set_xticks(range(len(rows)), [STRATEGIES[name].title for name in rows])
    axis.set(ylabel="s per utterance of 4 s", title="Training step, published sizes, one thread")
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


def main() -> None:
    """Measure, print each part's duration, and write the results."""
    machine = f"{cpu_count()} cores, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    measured: dict[str, Any] = {"machine": f"{machine}, torch {torch.__version__}"}
    for name, measure in PARTS.items():
        started = time.perf_counter()
        measured[name] = measure()
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)
    write_json(TARGET / "benchmarks.json", measured)
    table = pd.DataFrame(measured["roofline"]).to_markdown(index=False, floatfmt=".3g")
    write_between(CHECKOUT / "benchmarks/README.md", "roofline", table)
    draw(measured).savefig(TARGET / "benchmarks.png")


if __name__ == "__main__":
    main()
