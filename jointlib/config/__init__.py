"""One experiment's parameters, their valid values, and the profiles that set them."""

from jointlib import CHECKOUT, ROOT  # noqa: F401
from jointlib.config.experiment import Config, EmbeddedCorpus, identity  # noqa: F401
from jointlib.config.grid import grid, origins, parent_of  # noqa: F401
from jointlib.config.profile import PROFILES, load_config  # noqa: F401
from jointlib.config.values import ConfigError, unknown  # noqa: F401
