"""Whether what lies in a run's place is the run that is wanted: by its configuration, its data, and the code."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jointlib.config import Config, identity
from jointlib.runs.folder import CHECKPOINT, FILES, finished, partial_folder, run_folder
from jointlib.support.commit import changed_since
from jointlib.support.files import read_json, remedy

OF_THE_TEST = {"snr_db_test", "noise_types_test", "test_input"}  # parameters that no training depends on


def check_place(config: Config, data: Mapping[str, Any] | None = None) -> None:
    """Raise FileExistsError, with the remedy, if what lies where a run is to be made or gone on with is not that run.

    Nobody but its owner deletes it. A user's own files in the partial folder stay where they are. `data`: as
    `check_identity`.
    """
    folder, work = run_folder(config), partial_folder(run_folder(config))
    if finished(folder):
        return check_identity(folder, config, data)
    for place in (folder, work):
        if os.path.lexists(place) and not place.is_dir():
            raise FileExistsError(f"{place}: not a folder; move it away to train anew")
    if folder.is_symlink() or (folder.exists() and any(folder.iterdir())):
        raise FileExistsError(f"{folder}: not a finished run, but not empty; move it away to train anew")
    if (work / "config.json").exists():
        check_identity(work, config, data)
    elif found := [name for name in (*FILES, CHECKPOINT) if (work / name).exists()]:
        raise FileExistsError(
            f"{work}: holds {', '.join(found)} of nobody knows what, as config.json is missing; "
            "move it away to train anew"
        )
    return None


def check_identity(folder: Path, config: Config, data: Mapping[str, Any] | None = None) -> None:
    """Raise FileExistsError if a folder, finished or not, was made with another configuration, or with other speech,
    labels or noise than `data` (see `Data.identity`), where that is known."""
    with remedy(f"move {folder} away to train anew"):
        stored = read_json(folder / "config.json")
    wanted = identity(config)
    if found := differences(stored, wanted):
        both = "; ".join(f"{name}: {there!r} there, {now!r} now" for name, (there, now) in found.items())
        both += "); remove it, or give the new one a profile of its own"
        raise FileExistsError(f"{folder} was made with another configuration ({both}")
    if found := data_changes(stored, data or {}):
        raise FileExistsError(
            f"{folder} was made with other data ({found}); bring that back, or move the folder away to train anew"
        )


def trained_before(config: Config, data: Mapping[str, Any]) -> Path | None:
    """A finished run beside this one's place that differs in nothing that training reads, so that its weights are
    this one's. `data`: see `Data.identity`. UnusableFile: a damaged config.json."""
    wanted = {name: value for name, value in identity(config).items() if name not in OF_THE_TEST}
    read = {name: digest for name, digest in data["content"].items() if not name.endswith("_test")}
    folder = run_folder(config)
    for other in sorted(folder.parent.glob(f"{config.replace(variant='').run_name}*")):
        if other != folder and other.suffix != ".partial" and finished(other):
            stored = read_json(other / "config.json")
            if not (differences(stored, wanted) or data_changes(stored, {**data, "content": read})):
                return other
    return None


def stale(folder: Path) -> str:
    """Why a finished run may have other numbers than the present code would give it, in words; empty if it cannot.

    Its commit and, if its weights are another run's, that one's are held against the checkout. UnusableFile: no record.
    """
    record = read_json(folder / "record.json", "commit")
    commits = [record["commit"], *record.get("weights_from", {}).values()]
    return "; ".join(dict.fromkeys(filter(None, map(changed_since, commits))))


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The entries of `wanted` that are others in `stored`, as (there, now)."""
    return {name: (stored.get(name), now) for name, now in wanted.items() if stored.get(name) != now}


def data_changes(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """In which parts two runs' speech, labels or noise differ, in words; empty if in none."""
    there, now = (set(map(str, values.get("intents") or ())) for values in (stored, wanted))
    told = [f"intent {intent!r} is {'gone' if intent in there else 'new'}" for intent in sorted(there ^ now)[:5]]
    parts = differences(stored.get("content") or {}, wanted.get("content", {}))
    told += [f"{name.replace('_', ' of ')} is not what it was" for name in parts]
    return ", ".join(told) if wanted else ""
