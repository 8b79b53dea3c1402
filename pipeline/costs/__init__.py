"""Cost of a run: its jobs, their speed on some hardware, and the time and disk that follow."""
