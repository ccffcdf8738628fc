"""Many pictures without a server."""
