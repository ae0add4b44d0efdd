"""``python -m benchmarks.pages``: fill README, documents and notebooks from results/reference.

A page marks a table or a number with an invisible comment that names its source:

    <!-- beyond/tables/overview.md --> ... <!-- end -->
    0.863<!--beyond detached correct-->                     the mean of a column over utterances and seeds
    0.863 [0.81, 0.91]<!--beyond jt:0.9 stoi 95%-->          with its interval; JT at alpha = 0.9
    +0.05 [+0.02, +0.08]<!--beyond detached-jt correct-->   the paired difference of two strategies
    1.90<!--beyond detached pesq_wb_enhanced passages-->    of utterances concatenated to 8 s
    +0.05 [+0.01, +0.09]<!--beyond detached-jt correct shapes-->  the interval is over voice shapes, not speakers
    0.77<!--beyond jt correct snr_db==0-->                  of some utterances; or noise_type=='Babble'
    0.90<!--beyond bn/patience=9,steps=99 correct-->        of the runs of a variant of the profile
"""

import re
from functools import cache
from pathlib import Path

import pandas as pd

from jointlib.config import CHECKOUT, load_config
from jointlib.corpora.embedded.speech import speakers
from jointlib.findings.comparisons import Cell, difference, shown, values
from jointlib.findings.intervals import in_text, interval
from jointlib.findings.measures import MEASURES
from jointlib.findings.scores import read_passages, read_scores
from jointlib.support.files import write_atomically

TARGET = CHECKOUT / "results/reference"
PLACES = ("README.md", "docs/*.md", "notebooks/*.ipynb", "results/reference/*/pages/*.md")
PAGES = [page for place in PLACES for page in sorted(CHECKOUT.glob(place))]
TABLE = re.compile(r"<!-- (\S+\.md) -->.*?<!-- end -->", re.S)
NUMBER = re.compile(r"[-+]?[\d.]+(?:e[-+]\d+)?(?: dB)?(?: \[[^\]]*\])?<!--(\w+ [^>]+)-->")


@cache
def scores(profile: str, passages: bool, variant: str = "") -> pd.DataFrame:
    """The recorded scores of a profile or a variant of it, by utterance or by passage."""
    changed = dict(part.split("=") for part in variant.split(",") if part)
    config = load_config(profile, results=str(TARGET), **changed)
    if not passages:
        return read_scores(config)
    table = read_passages(config)
    return table.assign(path=table.groupby(["strategy", "alpha", "seed"]).cumcount())


@cache
def shapes(profile: str) -> dict[str, str]:
    """The voice shape (variant of espeak-ng) of each test speaker of an embedded corpus."""
    people = speakers(load_config(profile).embedded.model_dump())["test"]
    return {person["id"]: person["voice"].partition("+")[2] for person in people}


def cell(text: str) -> Cell:
    """``jt:0.9`` or ``detached`` as strategy and alpha; a joint strategy without alpha is taken at 0.5."""
    strategy, _, alpha = text.partition(":")
    return strategy, float(alpha) if alpha else 0.5 if strategy in ("jt", "bn", "bn_mix") else None


def number(key: str) -> str:
    """The number that a comment asks for, as text. ValueError: it was not run."""
    profile, cells, metric, *others = key.split()
    table = scores(profile, "passages" in others)
    for name, _, variant in (each.partition("/") for each in cells.split("-") if "/" in each):
        own = scores(profile, "passages" in others, variant).query("strategy == @name")
        table = pd.concat([table, own.assign(strategy=f"{name}/{variant}")])
    if "shapes" in others:
        table = table.assign(speaker=table.speaker.map(shapes(profile)))
    for condition in set(others) - {"passages", "95%", "shapes"}:
        table = table.query(condition)
    metric = metric if metric.startswith("correct") else f"{metric.removesuffix('_enhanced')}_enhanced"
    first, _, second = cells.partition("-")
    if second:
        if (about := difference(table, metric, cell(first), cell(second))) is None:
            raise ValueError(f"{key}: one of the two was not run")
        return shown(about, metric)
    own = values(table, metric, cell(first)).rename("value").reset_index()
    if own.empty:
        raise ValueError(f"{key}: was not run")
    mean, low, high, _ = interval(own.value, own.speaker, own.seed)
    nothing = float("nan")
    return in_text(mean, *((low, high) if "95%" in others else (nothing, nothing)), MEASURES[metric].form)


def compact(table: str) -> str:
    """A Markdown table without its padding, which browsers ignore."""
    return re.sub("-{4,}", "---", re.sub(" {2,}", " ", table.strip()))


def filled(text: str) -> str:
    """A page's text with the tables and numbers of the record."""
    text = TABLE.sub(
        lambda found: f"<!-- {found[1]} -->\n\n{compact((TARGET / found[1]).read_text())}\n\n<!-- end -->", text
    )
    return NUMBER.sub(lambda found: f"{number(found[1])}<!--{found[1]}-->", text)


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what a page holds between ``<!-- NAME -->`` and ``<!-- end -->``; ValueError: it has no such marks."""
    marks = rf"(<!-- {re.escape(name)} -->).*?(<!-- end -->)"
    shown_text = f"\n\n{text.strip()}\n\n"
    written, places = re.subn(marks, lambda mark: f"{mark[1]}{shown_text}{mark[2]}", page.read_text(), flags=re.S)
    if not places:
        raise ValueError(f"{page}: there is no <!-- {name} --> ... <!-- end --> to write between")
    write_atomically(page, written.encode())


def fill_all() -> None:
    """Fill every page."""
    for page in PAGES:
        write_atomically(page, filled(page.read_text()).encode())


if __name__ == "__main__":
    fill_all()
