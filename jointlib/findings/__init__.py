"""Scores of finished runs: read, compared with intervals and with the paper, drawn and reported."""
