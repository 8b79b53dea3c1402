"""What every job needs: command line, claim, lease, checkpoint, stopping, fingerprint, progress, device, cluster."""
