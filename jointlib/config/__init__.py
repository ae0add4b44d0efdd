"""One experiment's parameters: what each may be, and the profiles that set them."""

from jointlib.config.experiment import ROOT, Config, ConfigError, EmbeddedCorpus, identity, parent_of, unknown
from jointlib.config.profile import PROFILES, from_notebook, load_config

__all__ = [
    "PROFILES",
    "ROOT",
    "Config",
    "ConfigError",
    "EmbeddedCorpus",
    "from_notebook",
    "identity",
    "load_config",
    "parent_of",
    "unknown",
]
