"""The error for a wrong start of the service: its message is one sentence that says what to change."""

from pathlib import Path


class ServiceError(Exception):
    """The service cannot start or become ready with what it was given."""


def redact_path(text: str, folder: Path) -> str:
    """Return a sentence as clients may read it: an absolute path to the models' folder becomes ``models``."""
    return text.replace(str(folder), "models") if folder.is_absolute() else text
