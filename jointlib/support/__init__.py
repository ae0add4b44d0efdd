"""Atomic file writes, checkpoints, distributed training, progress bars."""
