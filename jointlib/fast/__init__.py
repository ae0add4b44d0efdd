"""The networks as a CPU, or a GPU, finds them faster: swaps of their layers, equal to the plain ones."""
