"""What the paper reports: its Tables 2 to 5, and its claims."""

import pandas as pd

from jointlib.config import CHECKOUT

TABLES = {  # caption, our column in per_utterance.csv, and number format
    2: ("Intent classification accuracy", "correct", ".3f"),
    3: ("PESQ, wide band (MOS)", "pesq_wb_enhanced", ".2f"),
    4: ("STOI", "stoi_enhanced", ".2f"),
    5: ("MSE", "mse_enhanced", ".1e"),
}
PUBLISHED = CHECKOUT / "results/published"  # an installed package has none: FileNotFoundError


def published() -> pd.DataFrame:
    """The paper's Tables 2 to 5: table, metric, strategy, alpha, value (NaN where the paper prints a dash)."""
    return pd.read_csv(PUBLISHED / "tables.csv")


def claims() -> pd.DataFrame:
    """The paper's claims: claim, published (the values), metric, better, better_alpha, worse, worse_alpha."""
    return pd.read_csv(PUBLISHED / "claims.csv")
