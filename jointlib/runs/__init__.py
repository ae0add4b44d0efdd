"""Runs: planned, trained, evaluated, kept as folders, and used again."""
