"""One experiment's parameters: what each may be, and the profiles that set them."""

from jointlib import CHECKOUT, ROOT  # noqa: F401
from jointlib.config.experiment import Config, EmbeddedCorpus, grid, identity, ignored, origins, parent_of, without  # noqa: F401
from jointlib.config.profile import PROFILES, from_notebook, load_config  # noqa: F401
from jointlib.config.values import ConfigError, unknown  # noqa: F401
