"""How the service runs as processes: a supervisor, its workers, and the HTTP server of each."""
