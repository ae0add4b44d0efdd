"""Which run is which: what decides its numbers, and which run it starts from."""

from typing import Any

from jointlib.config.experiment import Config
from jointlib.config.values import without
from jointlib.strategies import trainings

__all__ = ["identity", "parent_of"]


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
