"""What can go wrong, in one sentence for a person."""


class ExportError(Exception):
    """The export was refused, and nothing was written."""

    exit_code = 1
