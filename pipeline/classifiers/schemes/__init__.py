"""Training schemes, one module each: build(settings, network, facts) gives a `Scheme`."""
