"""How many connections a worker can hold: each is an open file, and most systems allow a process 1,024 of them."""

MOST = 65_536


def raise_limit() -> None:
    """Raise this process's limit of open files to ``MOST``, as far as the system lets it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
