"""How much of the generator's own speed is left over HTTP? ``python -m benchmarks.serving``."""
