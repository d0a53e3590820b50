"""Whether an optimisation is at rest, and whether several agree."""
