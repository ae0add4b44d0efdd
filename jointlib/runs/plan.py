"""The grid as the pipeline runs it: each run's notebook, and the runs that it depends on."""

from typing import Any, NamedTuple

from jointlib.config import Config, grid, origins
from jointlib.corpora.batches import load_data
from jointlib.runs.folder import check_place, finished, run_folder
from jointlib.strategies import BOTH, STRATEGIES, Classifier, Enhancer


class Cell(NamedTuple):
    """A run of the grid."""

    config: Config
    notebook: str  # its file's name, without .ipynb
    parameters: dict[str, Any]  # of the notebook, beside the profile's
    starts_from: list[str]  # names of the runs that initialise it
    priority: int  # weighted steps of the longest chain of runs from it on, which starts first


def plan(profile: Config) -> dict[str, Cell]:
    """Every run of a profile's grid, and every run that initialises one of them, by name."""
    configs = grid(profile)
    starts_from = {name: [origin.run_name for origin in origins(config)] for name, config in configs.items()}

    def priority(name: str) -> int:
        row = STRATEGIES[configs[name].strategy]
        effort = 0 if row.frozen == BOTH else 1 if row.network is Classifier else 4  # of a step with a front-end
        waiting = [priority(other) for other in configs if name in starts_from[other]]
        return effort * configs[name].own_steps + max(waiting, default=0)

    cells = {}
    for name, config in configs.items():
        notebook, own = "03_train_strategy", {"STRATEGY": config.strategy, "ALPHA": config.alpha}
        if is_baseline(config.strategy):
            notebook, own = "02_baselines", {"BASELINES": [config.strategy]}
        own |= {"SEED": config.seed} | ({"STEPS": config.steps} if config.steps != profile.steps else {})
        cells[name] = Cell(config, notebook, own, starts_from[name], priority(name))
    return cells


def is_baseline(strategy: str) -> bool:
    """Whether notebook 2 trains a strategy: one part alone, or a cascade of the paper."""
    row = STRATEGIES[strategy]
    return row.network in (Classifier, Enhancer) or (row.published and row.alpha is not None)


def survey(profile: Config) -> str:
    """Check every existing run of the grid before anything is trained, and return their number as text.

    Raises FileExistsError: a run of another configuration or other data, or something else in its place.
    """
    cells = grid(profile).values()
    for cell in cells:
        check_place(cell)  # before the corpus is read
    if (profile.folder / "runs").is_dir():
        data = load_data(profile.replace(device="cpu")).identity
        for cell in cells:
            check_place(cell, data)
    return f"{len(cells)} runs, of which {sum(finished(run_folder(cell)) for cell in cells)} exist"
