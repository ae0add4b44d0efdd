"""``serve.py MODULE OPTION ...``: run MODULE with OPTION=$TOKEN added.

Every user of a machine can read the command lines of all processes, but not their environment.
"""

import os
import runpy
import sys

_, module, option, *given = sys.argv
sys.argv = [module, *given, f"{option}={os.environ['TOKEN']}"]
runpy.run_module(module, run_name="__main__")
