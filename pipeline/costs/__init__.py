"""What a run will take: its jobs, how fast each goes on some hardware, and what follows for time and disk."""
