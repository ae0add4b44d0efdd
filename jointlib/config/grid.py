"""The runs of a profile, and the runs that initialise their parts."""

from itertools import product

from jointlib.config.experiment import Config
from jointlib.strategies import STRATEGIES, parents, trainings


def parent_of(config: Config, strategy: str) -> Config:
    """The run that initialises a part of this run: another strategy, from scratch, with its share of the steps."""
    made_of, shares = (len(trainings(*row)) for row in ((config.strategy, config.init), (strategy, "scratch")))
    steps = config.steps if shares == made_of else max(1, config.steps // made_of) * shares
    parts = [part for part in config.variant.split(",") if part and not part.startswith(("init=", "steps="))]
    parts += [f"steps={steps}"] if steps != config.steps or "steps=" in config.variant else []
    return config.replace(strategy=strategy, init="scratch", steps=steps, variant=",".join(sorted(parts)))


def origins(config: Config) -> list[Config]:
    """The runs that initialise a run's parts."""
    wanted = parents(config.row, config.init)
    return [parent_of(config, name) for name in sorted(set(wanted.values()))]


def grid(profile: Config) -> dict[str, Config]:
    """Every run of a profile, and every run that initialises one of them, by name."""
    left = [
        profile.replace(strategy=name, alpha=alpha, seed=seed)
        for seed, name in product(profile.seeds, profile.strategies)
        for alpha in (profile.alphas if STRATEGIES[name].alpha is None else [STRATEGIES[name].alpha])
    ]
    for cell in left:  # reaches the appended ones, too
        left += origins(cell)
    return {cell.run_name: cell for cell in left}
