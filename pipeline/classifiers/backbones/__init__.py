"""Networks, one module each: build(width) gives a module with `feature_size`, from pictures to features."""
