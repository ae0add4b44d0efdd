"""What everything else stands on: whole files, checkpoints, processes, progress."""
