"""``serve.py MODULE OPTION ...``: run MODULE with OPTION=$TOKEN added, as every user of a machine can read its command
lines, and nobody another's environment."""

import os
import runpy
import sys

_, module, option, *given = sys.argv
sys.argv = [module, *given, f"{option}={os.environ['TOKEN']}"]
runpy.run_module(module, run_name="__main__")
