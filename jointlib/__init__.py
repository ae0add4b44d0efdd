"""Joint training of speech enhancement and intent classification on the raw waveform (Ali, Falavigna, Brutti 2022).

The method is in modules, everything else in packages. A package imports only what is to its right: audition, findings,
runs, corpora, config, the method. support imports none of them.
"""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]  # notebooks, Snakefile and published tables, unless this is a wheel
_HOME = os.environ.get("JOINTLIB_HOME") or (CHECKOUT if (CHECKOUT / "Snakefile").is_file() else None)
# The project's folder: relative paths start here, data/ and results/ lie below it. Never write into site-packages, nor
# audio of the cache into the current folder, which may be somebody's data set.
ROOT = Path(_HOME or ".").expanduser().resolve()
CACHE = ROOT / "data/cache" if _HOME else Path.home() / ".cache/jointlib"
SAMPLE_RATE = 16_000  # Hz, of everything inside the library
SPLITS = ("train", "valid", "test")
OUTSIDE = 0.9  # strength of the enhancement for recordings unlike a run's corpus: see docs/results.md
COLUMNS = ("path", "speakerId", "transcription", "action", "object", "location")  # of Fluent Speech Commands' CSVs
