"""What a person who starts the service can get wrong; every message is one sentence that says what to do."""


class ServiceError(Exception):
    """The service cannot start or become ready as it was asked to."""
