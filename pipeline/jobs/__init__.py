"""What every job needs.

Command line, inputs, claim, lease, checkpoint, state of a training, overlap, stopping, fingerprint, what the run planned,
progress, device, cluster.
"""

RUN = "COUNTERWEIGHT_RUN"
"""Environment variable with the name of the scheduler's run, the same for all attempts at a job."""
FINISHED = "finished"
"""File in the folder of a job's checkpoint when its outputs are written."""
