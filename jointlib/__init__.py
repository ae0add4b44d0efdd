"""Joint training of speech enhancement and intent classification on the raw wave (Ali, Falavigna, Brutti 2022).

The method is in files, everything else in rooms. Imports go one way, from left to right: audition, runs, corpora,
config, the method, support; fast knows the method only, and runs swaps it in.
"""

import signal
import sys
from pathlib import Path

if (
    "".join(sys.argv[:1]).rpartition("/")[2] in ("-m", "jointlib")
    and signal.getsignal(signal.SIGINT) is signal.default_int_handler
):
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a command that is still being loaded ends at Ctrl-C without a word

CHECKOUT = Path(__file__).resolve().parents[1]  # notebooks, Snakefile and published tables, unless this is a wheel
SAMPLE_RATE = 16_000  # Hz, of everything inside the library
SPLITS = ("train", "valid", "test")
COLUMNS = ("path", "speakerId", "transcription", "action", "object", "location")  # of Fluent Speech Commands' CSVs
