"""What everything stands on: whole files, checkpoints, processes, commands, a line of progress."""
