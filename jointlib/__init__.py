"""Joint training of speech enhancement and intent classification on the raw wave (Ali, Falavigna, Brutti 2022).

The method: waveunet, tcn, strategies, losses, train, evaluate. Everything else is in rooms, each of which may import
only from those before it: support, (the method), config, corpora, fast_cpu, runs, audition.
"""

SAMPLE_RATE = 16_000  # Hz, of everything inside the library
SPLITS = ("train", "valid", "test")
COLUMNS = ("path", "speakerId", "transcription", "action", "object", "location")  # of Fluent Speech Commands' CSVs
