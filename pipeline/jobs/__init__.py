"""What every job needs: command line, claim, lease, checkpoint, stopping, fingerprint, progress, device, cluster."""

RUN = "COUNTERWEIGHT_RUN"
"""Environment variable with the name of the scheduler's run, the same for all attempts at a job."""
FINISHED = "finished"
"""File in the folder of a job's checkpoint when its outputs are written."""
