"""The routes: HTTP in, pictures out, a problem document for whatever is wrong."""
