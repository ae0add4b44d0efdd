"""Notebook 6: two runs heard, seen and measured on any sound, and a blind vote."""
