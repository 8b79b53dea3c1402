"""Training schemes, one module each: build(settings, network, data) gives a `Scheme`."""
