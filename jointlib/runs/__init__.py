"""Runs: trained, evaluated, kept as folders, used again, and gathered into tables and figures."""
