"""The panels of the audition as HTML: what classifiers read, where the strength makes it right, and the quality."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from jointlib import SAMPLE_RATE
from jointlib.audition.sounds import Reading

_QUALITY = {
    "pesq_wb": ("PESQ, wide band (MOS)", "{:.2f}"),
    "stoi": ("STOI", "{:.2f}"),
    "si_sdr": ("SI-SDR (dB)", "{:.1f}"),
}


def short(intent: str) -> str:
    """An intent without what it leaves open: ``activate lights kitchen``."""
    return intent.replace(" / none", "").replace(" / ", " ")


def sound_line(name: str, samples: int) -> str:
    """What is heard at the moment, and how long it is."""
    shown = f"{samples / SAMPLE_RATE:.2f} s: {Path(name).name}"
    return f'<span class="jl-key jl-sound" title="{escape(name)}">{escape(shown)}</span>'


def likeliest(reading: Reading, count: int = 5) -> list[tuple[str, float]]:
    """The likeliest intents of a reading with their probabilities, the likeliest first."""
    values, labels = reading.probabilities.topk(min(count, len(reading.intents)))
    return [(reading.intents[label], value) for value, label in zip(values.tolist(), labels.tolist(), strict=True)]


def readings(found: Sequence[Reading], truth: str | None) -> str:
    """The five likeliest intents of each reading as bars; the true one is blue, a wrong first one orange."""
    blocks = []
    for reading in found:
        rows = []
        for rank, (intent, value) in enumerate(likeliest(reading)):
            kind = "jl-right" if intent == truth else "jl-wrong" if rank == 0 and truth is not None else ""
            mark = "✓ " if intent == truth else "✗ " if kind else ""
            rows.append(
                f'<div class="jl-intent {kind}"><span title="{escape(intent)}">{mark}{escape(short(intent))}</span>'
                f'<span><i style="display:block;width:{100 * value:.0f}%"></i></span><span>{value:.2f}</span></div>'
            )
        head = f"<div>{escape(reading.title)}</div><div>{escape(reading.by)}</div>"
        blocks.append(f'<div class="jl-reading">{head}{"".join(rows)}</div>')
    spoken = f"the true intent is <b>{escape(short(truth))}</b>" if truth else "the true intent is not known"
    return f'<h4>What is understood: {spoken}</h4><div class="jl-readings">{"".join(blocks)}</div>'


def strength_strip(
    name: str, strengths: np.ndarray, probabilities: Tensor, intents: list[str], truth: str | None, now: float
) -> str:
    """A cell a strength, filled where the reading (S, classes) is right, the paler the less sure; hatched where wrong.

    `name` says what is heard and who reads it. Where the truth is not known, right means: as at full strength.
    """
    values, labels = probabilities.max(dim=1)
    wanted = truth if truth is not None else intents[int(labels[-1])]
    nearest = int(np.abs(strengths - now).argmin())
    cells = []
    for place, (strength, value, label) in enumerate(zip(strengths, values.tolist(), labels.tolist(), strict=True)):
        kind = "jl-right" if intents[label] == wanted else "jl-wrong"
        cells.append(
            f'<i class="{kind}{" jl-now" if place == nearest else ""}" style="opacity:{0.3 + 0.7 * value:.2f}" '
            f'title="strength {strength:.2f}: {escape(short(intents[label]))} {value:.2f}"></i>'
        )
    return f'<div class="jl-strip"><span>{escape(name)}</span><div class="jl-cells">{"".join(cells)}</div></div>'


def strength_key(truth: str | None) -> str:
    """What the cells of a strip mean."""
    right = "understood rightly" if truth is not None else "understood as at strength 1"
    who = "own: read by the run's own classifier; listener: by the one chosen above"
    key = f"<b>■ {right}</b> · <em>▨ otherwise</em> · {who}"
    return f'<div class="jl-strip"><span></span><div class="jl-key">{key}</div></div>'


def quality_table(scores: Mapping[str, Mapping[str, Any]]) -> str:
    """A row a channel: PESQ, STOI and SI-SDR against clean speech; a dash, with the reason, where one has no value."""
    if not scores:
        return "Nothing was added to this sound, so there is no clean one to compare with."
    head = "".join(f"<th>{label}</th>" for label, _ in _QUALITY.values())
    rows = []
    for channel, values in scores.items():
        cells = ""
        for name, (_, form) in _QUALITY.items():
            shown = form.format(values[name]) if np.isfinite(values[name]) else "–"
            cells += f'<td title="{escape(values["failed"])}">{shown}</td>'
        rows.append(f"<tr><th>{escape(channel)}</th>{cells}</tr>")
    return f'<table class="jl-table"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
