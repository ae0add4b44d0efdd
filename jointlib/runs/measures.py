"""How the columns of per_utterance.csv are called, in sentences and heads of tables, and which way is better."""

from typing import NamedTuple


class Measure(NamedTuple):
    """A column of per_utterance.csv in a sentence: name, format and unit, and whether less of it is better."""

    label: str
    form: str
    unit: str = ""
    less_is_better: bool = False


MEASURES = {
    "correct": Measure("accuracy", ".3f"),
    "pesq_wb_enhanced": Measure("PESQ", ".2f"),
    "stoi_enhanced": Measure("STOI", ".3f"),
    "estoi_enhanced": Measure("ESTOI", ".3f"),
    "si_sdr_enhanced": Measure("SI-SDR", ".1f", " dB"),
    "lsd_enhanced": Measure("log-spectral distance", ".1f", " dB", less_is_better=True),
    "mse_enhanced": Measure("MSE", ".1e", less_is_better=True),
}
