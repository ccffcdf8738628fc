"""Everything that only an accelerator can tell, by one command: ``python -m benchmarks.gpu``."""
