"""The embedded corpus: commands and noises synthesised on the spot, in the layouts of the real ones."""
