"""Draws many images to files, without a server."""
