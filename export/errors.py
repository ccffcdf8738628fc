"""Errors of the export; each message is one sentence for the user."""


class ExportError(Exception):
    """The export failed; no file was written."""

    exit_code = 1


class InputError(ExportError):
    """Invalid input from the user; the message says why and what to do."""

    exit_code = 2
