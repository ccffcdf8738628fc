"""What can go wrong, in one sentence for a person."""


class ExportError(Exception):
    """The export was refused, and nothing was written."""

    exit_code = 1


class InputError(ExportError):
    """What the user gave cannot be exported; the message says why and what to do."""

    exit_code = 2
