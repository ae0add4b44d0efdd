"""One experiment's parameters: what each may be, and the profiles that set them."""

from jointlib.config.embedded import *  # noqa: F403
from jointlib.config.experiment import *  # noqa: F403
from jointlib.config.identity import *  # noqa: F403
from jointlib.config.places import *  # noqa: F403
from jointlib.config.profile import *  # noqa: F403
from jointlib.config.values import ConfigError, unknown, without  # noqa: F401
