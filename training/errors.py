"""What can go wrong, in one sentence for a person; ``__main__`` turns each into a line on stderr and an exit code."""


class TrainingError(Exception):
    """Training cannot go on, through no fault of the input."""

    exit_code = 1


class InputError(TrainingError):
    """What the user gave cannot be used; the message says why and what to do."""

    exit_code = 2


class DiskError(TrainingError):
    """A file could not be written."""
