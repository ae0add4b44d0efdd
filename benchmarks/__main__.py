"""``python -m benchmarks``: everything about speed on a CPU; results/reference/benchmarks.json and benchmarks.png."""

import platform
import time
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.axes import Axes

from benchmarks import contamination, enhancement, feeding, growth, roofline, step
from benchmarks.reference import TARGET, write_between
from jointlib.config import CHECKOUT
from jointlib.runs.figures import use_style
from jointlib.support.files import write_json
from jointlib.support.workers import cores

PARTS = {
    "step": step.measure,
    "feeding": feeding.measure,
    "contamination": contamination.measure,
    "enhancement": enhancement.measure,
    "roofline": lambda: roofline.measure().to_dict("records"),
    "growth": growth.measure,
}


def draw(measured: dict[str, Any]) -> plt.Figure:
    """Six panels: the step with one thread and with two, the enhancers, growing corpora, long clips."""
    use_style()
    figure, axes = plt.subplots(3, 2, figsize=(11, 11))
    titles = {"jt": "JT", "bn": "BN", "bn_mix": "BN-Mix"}
    steps, twice = measured["step"]["published"], measured["step"]["published, twice the threads"]
    _steps(axes[0, 0], {titles[name]: row for name, row in steps.items()})
    axes[0, 0].set_title("Training step, published sizes, one thread")
    both = {f"{titles[name]}, {row['threads']}": row for name in twice for row in (steps[name], twice[name])}
    _steps(axes[0, 1], both)
    axes[0, 1].set(title="One thread and two", xlabel="strategy, threads")
    _enhancers(axes[1, 0], measured["enhancement"])
    _corpora(axes[1, 1], measured["growth"]["corpus"])
    _clips(axes[2, 0], measured["growth"], "taken_s", 1.0, "time (s)")
    _clips(axes[2, 1], measured["growth"], "peak_mb", 1e-3, "peak memory (GB)")
    figure.tight_layout()
    return figure


def _steps(axis: Axes, rows: dict[str, dict[str, float]]) -> None:
    kinds = (("plain", "torch.nn"), ("fast", "fast_cpu"), ("bf16", "fast_cpu, bfloat16"))
    for number, (kind, label) in enumerate(kinds):
        places = [place + 0.27 * (number - 1) for place in range(len(rows))]
        bars = axis.bar(places, [row[f"{kind}_s"] for row in rows.values()], 0.27, label=label)
        axis.bar_label(bars, fmt="%.2g", fontsize=9)
    axis.set_xticks(range(len(rows)), rows)
    axis.set(ylabel="s an utterance of 4 s")
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


def _clips(axis: Axes, rows: dict[str, list[dict[str, float]]], name: str, unit: float, label: str) -> None:
    for kind, way, marker in (("whole", "at once", "o"), ("tiled", "in tiles", "s")):
        axis.plot([p["seconds"] for p in rows[kind]], [unit * p[name] for p in rows[kind]], marker=marker, label=way)
    axis.set(xlabel="clip (s)", ylabel=label, title="Enhancing a long clip", ylim=(0, None))
    axis.legend(frameon=False)


def _corpora(axis: Axes, points: list[dict[str, float]]) -> None:
    for name, label, marker in (("read_s", "first reading", "o"), ("read_again_s", "from the cache", "s")):
        axis.plot([p["utterances"] for p in points], [p[name] for p in points], marker=marker, label=label)
    axis.plot([p["utterances"] for p in points], [p["mix_s"] for p in points], marker="^", label="mixing train once")
    axis.set(xlabel="utterances of 1 s", ylabel="time (s)", title="A growing corpus", xscale="log", yscale="log")
    axis.set_xticks([p["utterances"] for p in points], [f"{p['utterances']:,}" for p in points])
    axis.minorticks_off()
    axis.legend(frameon=False)


def main() -> None:
    """Measure, print how long each part took, write."""
    machine = f"{cores()} cores, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
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
