"""What everything stands on: files that are whole or not there, and a line of progress."""
