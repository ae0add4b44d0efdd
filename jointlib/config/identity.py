"""Which run is which: what decides its numbers, which run it starts from, and all that a profile consists of."""

from itertools import product
from typing import Any

from jointlib.config.experiment import Config
from jointlib.config.values import without
from jointlib.strategies import STRATEGIES, parents, trainings

__all__ = ["grid", "identity", "origins", "parent_of"]


def identity(config: Config) -> dict[str, Any]:
    """What decides a run's numbers, as plain JSON values."""
    return config.model_dump(mode="json")


def parent_of(config: Config, strategy: str) -> Config:
    """The run that one of this run's parts is taken from: another strategy, from scratch, its share of the steps."""
    made_of, shares = (len(trainings(*row)) for row in ((config.strategy, config.init), (strategy, "scratch")))
    steps = config.steps if shares == made_of else max(1, config.steps // made_of) * shares
    variant = without(config.variant, ("init",) if steps == config.steps else ("init", "steps"))
    if steps != config.steps:
        variant = ",".join(sorted([*filter(None, variant.split(",")), f"steps={steps}"]))
    return config.replace(strategy=strategy, init="scratch", steps=steps, variant=variant)


def origins(config: Config) -> list[Config]:
    """The runs that a run's parts are taken from."""
    wanted = parents(STRATEGIES[config.strategy], config.init)
    return [parent_of(config, name) for name in sorted(set(wanted.values()))]


def grid(profile: Config) -> dict[str, Config]:
    """Every run of a profile by its name, and every run that one of them starts from."""
    left = [
        profile.replace(strategy=name, alpha=alpha, seed=seed)
        for seed, name in product(profile.seeds, profile.strategies)
        for alpha in (profile.alphas if STRATEGIES[name].alpha is None else [STRATEGIES[name].alpha])
    ]
    for cell in left:
        left += origins(cell)
    return {cell.run_name: cell for cell in left}
