"""Networks, one module each: build(classes, width) and nothing else."""
