"""One experiment's parameters: what each may be, and the profiles that set them."""

from jointlib.config.experiment import *  # noqa: F403
from jointlib.config.profile import *  # noqa: F403
from jointlib.config.values import ConfigError, unknown  # noqa: F401
