"""One module a format: walk its container, rebuild it, read it."""
