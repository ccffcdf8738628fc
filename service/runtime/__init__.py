"""The processes: the server, its workers, their connections and signals."""
