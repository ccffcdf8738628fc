"""Draws images: the models, the queue that batches requests, and the execution providers."""
