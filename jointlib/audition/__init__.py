"""The listening tool of notebook 6: two runs heard, seen and measured on any recording, and a blind vote."""
