"""Which run is which: what decides its numbers, what its strategy ignores, and which run it starts from."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from jointlib.strategies import JT, Classifier, Strategy, trainings

if TYPE_CHECKING:
    from jointlib.config.experiment import Config

__all__ = ["identity", "ignored", "parent_of", "without"]


def identity(config: "Config") -> dict[str, Any]:
    """What decides a run's numbers, as plain JSON values."""
    return config.model_dump(mode="json")


def parent_of(config: "Config", strategy: str) -> "Config":
    """The run that one of this run's parts is taken from: another strategy, from scratch, its share of the steps."""
    made_of, shares = (len(trainings(*row)) for row in ((config.strategy, config.init), (strategy, "scratch")))
    steps = config.steps if shares == made_of else max(1, config.steps // made_of) * shares
    variant = without(config.variant, ("init",) if steps == config.steps else ("init", "steps"))
    if steps != config.steps:
        variant = ",".join(sorted([*filter(None, variant.split(",")), f"steps={steps}"]))
    return config.replace(strategy=strategy, init="scratch", steps=steps, variant=variant)


def ignored(row: Strategy) -> dict[str, Any]:
    """The parameters that mean nothing to a strategy, at the value that its runs have."""
    found: dict[str, Any] = {} if row.pretrained else {"init": "scratch"}
    if not issubclass(row.network, JT):
        found["gradient"] = None
    if row.network is Classifier:
        found |= {"frontend": None, "loss": None}
    return found


def without(variant: str, names: Collection[str]) -> str:
    """A variant without what it says about some parameters."""
    return ",".join(part for part in variant.split(",") if part.partition("=")[0] not in names)
