"""Labels, formats and units of the columns of per_utterance.csv, and which direction is better."""

from typing import NamedTuple


class Measure(NamedTuple):
    """A column of per_utterance.csv: its name in a sentence, and as the head of a table or axis; the format of its
    values, their unit in a sentence, and whether less is better."""

    label: str
    head: str
    form: str
    unit: str = ""
    less_is_better: bool = False


MEASURES = {
    "correct": Measure("accuracy", "accuracy", ".3f"),
    "correct_on_clean": Measure("accuracy on clean speech", "accuracy on clean", ".3f"),
    "pesq_wb_enhanced": Measure("PESQ", "PESQ (MOS)", ".2f"),
    "pesq_nb_enhanced": Measure("narrow-band PESQ", "PESQ, narrow band (MOS)", ".2f"),
    "stoi_enhanced": Measure("STOI", "STOI", ".3f"),
    "estoi_enhanced": Measure("ESTOI", "ESTOI", ".3f"),
    "si_sdr_enhanced": Measure("SI-SDR", "SI-SDR (dB)", ".1f", " dB"),
    "lsd_enhanced": Measure("log-spectral distance", "LSD (dB)", ".1f", " dB", less_is_better=True),
    "mse_enhanced": Measure("MSE", "MSE", ".1e", less_is_better=True),
}
