"""A model card of a run: its data, training, size, scores and limits."""

from pathlib import Path

import pandas as pd

from jointlib.config import Config
from jointlib.findings.measures import MEASURES
from jointlib.findings.scores import read_run
from jointlib.findings.tables import legend, measured
from jointlib.findings.words import failed
from jointlib.runs.folder import read_config, title
from jointlib.support.files import read_json, write_atomically


def origin(config: Config) -> str:
    """The sources of a configuration's speech and noise, and their licences, as text."""
    speech = f"from `{config.corpus}`" if config.embedded is None else "synthesised by espeak-ng"
    if config.embedded is not None and Path(config.noise).parent == Path(config.corpus).parent:
        return f"Speech {speech}, noise by formula: no licence of a data set applies."
    return (
        f"Speech {speech}, noise from `{config.noise}`, the user's own. Their licences apply to all that contains this "
        "audio, such as pages with players: Fluent Speech Commands may not be redistributed."
    )


def write_card(folder: Path) -> None:
    """Write card.md of a finished run. UnusableFile: a file of the run cannot be read."""
    (config, intents), scores = read_config(folder), read_run(folder)
    record = read_json(folder / "record.json", "trainings", "parameters")
    snrs = ", ".join(f"{snr:g}" for snr in config.snr_db_test or config.snr_db)
    terms = ", ".join(f"{weight:g} x {term}" for term, weight in config.enhancement_loss.items())
    limits = "\n".join(f"- {limit}" for limit in filter(None, [record.get("cut"), *_limits(config, scores)]))
    frontend = (config.frontend or config.row.frontend) if "mse_enhanced" in scores else "none"
    classifier = f"{len(intents)} intents" if "correct" in scores else "none"
    text = f"""# {title(config.strategy, config.alpha)}, seed {config.seed}

**Data.** {origin(config)} Tested on {config.row.test_input} speech; SNRs of noisy speech: {snrs} dB.

**Training.**

- on {config.row.train_input} speech, profile {config.profile} {config.variant}
- {config.steps:,} steps of {config.batch_size} utterances in {", ".join(record["trainings"])}
- {scores.passes[0]:.3g} epochs, {scores.core_seconds[0] / 60:.1f} core-minutes
- loss: {config.alpha:g} x ({terms}) + {1 - config.alpha:g} x cross-entropy
- {config.optimizer}, learning rate {config.learning_rate:g}, {config.schedule}

**Size.** {record["parameters"]:,} parameters; front-end: {frontend}; classifier: {classifier}.

**Scores.** {len(scores):,} test utterances of {scores.speaker.nunique()} speakers; intervals over speakers, not seeds.

{measured(scores, list(MEASURES)).T.to_markdown()}

{failed(scores)}

{legend(scores)}

**Limits.**

{limits}
"""
    write_atomically(folder / "card.md", text.encode())


def _limits(config: Config, scores: pd.DataFrame) -> list[str]:
    limits = []
    if "correct" in scores:
        for by in ("snr_db", "noise_type"):
            means = scores.groupby(by).correct.mean()
            lowest = ", ".join(map(str, means.index[means == means.min()]))
            limits.append(f"lowest accuracy by {by}: {means.min():.3f} at {lowest}")
        limits.append("the classifier always predicts one of its intents, whatever is said")
        limits.append(f"of a recording longer than {config.clip_seconds:g} s, the loudest clip is classified")
    if config.embedded is not None:
        limits.append("trained and tested on synthetic speech; gains on recorded speech are smaller (docs/results.md)")
    return limits
