"""The types of errors that clients can meet: the table that answers, openapi.json and docs/problems.md are made of."""

from enum import Enum
from http import HTTPStatus

PATH = "/problems/"  # before a slug: what ``type`` says, and where the server describes it


class ProblemType(Enum):
    """The kinds of error that a client can meet; a slug is never renamed, as programs compare it.

    Each is: slug, status, what it means, what a client can do.
    """

    INVALID_HTTP = ("invalid-http", 400, "The request is not HTTP/1.1.", "Send valid HTTP.")
    INVALID_JSON = (
        "invalid-json",
        400,
        "The body is not strict JSON.",
        'Put names into double quotes, each once; in cmd of Windows write "{\\"seed\\":42}".',
    )
    INVALID_KEY = (
        "invalid-key",
        401,
        "The API key is missing or not known.",
        "Send a key as Authorization: Bearer or X-API-Key.",
    )
    INVALID_TOKEN = (
        "invalid-token",
        401,
        "The admin token is missing or wrong.",
        "Send the token of NELUMBO_ADMIN_TOKEN as Authorization: Bearer.",
    )
    NOT_FOUND = ("not-found", 404, "Nothing has this path.", "See /docs for the routes.")
    UNKNOWN_MODEL = (
        "unknown-model",
        404,
        "No model of this name and version is served.",
        "Choose one that detail or GET /models lists.",
    )
    METHOD_NOT_ALLOWED = (
        "method-not-allowed",
        405,
        "The path has no such method.",
        "Use one that the header Allow lists.",
    )
    NOT_ACCEPTABLE = (
        "not-acceptable",
        406,
        "Accept allows none of the formats that this path offers.",
        "Name a format in the body, or accept one that detail lists.",
    )
    REQUEST_TIMEOUT = (
        "request-timeout",
        408,
        "The request did not arrive in NELUMBO_CLIENT_TIMEOUT seconds.",
        "Send it faster.",
    )
    RELOAD_FAILED = (
        "reload-failed",
        409,
        "No model in the folder can be served; those of before still are.",
        "Repair the model that detail names, and reload.",
    )
    BODY_TOO_LARGE = (
        "body-too-large",
        413,
        "The body is longer than NELUMBO_MAX_BODY.",
        "Send fewer latents, or seeds.",
    )
    URI_TOO_LONG = (
        "uri-too-long",
        414,
        "The path or the query string is too long, or has too many parameters.",
        "Send what /docs describes, and each parameter once.",
    )
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported-media-type",
        415,
        "The body is not declared as JSON, or is compressed.",
        "Use curl --json, or send Content-Type: application/json.",
    )
    BODY_TOO_COMPLEX = (
        "body-too-complex",
        422,
        "The body has more objects, lists or strings than any valid one.",
        "Send the fields that /docs describes.",
    )
    INVALID_FIELD = (
        "invalid-field",
        422,
        "A field or query parameter is unknown, missing or has a wrong value.",
        "Change the fields that errors lists.",
    )
    CONFLICTING_FIELDS = (
        "conflicting-fields",
        422,
        "Two fields are given that exclude each other.",
        "Give one of seed, seeds, latent and latents; n goes with seed only, and classes with one seed or latent.",
    )
    INVALID_LATENT = (
        "invalid-latent",
        422,
        "A latent has not as many numbers as the model takes.",
        "Send latent_dim numbers; GET /models tells how many these are.",
    )
    TOO_MANY_IMAGES = (
        "too-many-images",
        422,
        "The request asks for more images than the server draws at once.",
        "Ask for at most as many as detail says.",
    )
    UNSUPPORTED_BY_MODEL = (
        "unsupported-by-model",
        422,
        "The model has no classes, no truncation or no directions.",
        "Leave out the field that errors names, or ask a model that has it in GET /models.",
    )
    UNKNOWN_CLASS = (
        "unknown-class",
        422,
        "The model has no class of this name.",
        "Choose one that detail or GET /models lists.",
    )
    UNKNOWN_DIRECTION = (
        "unknown-direction",
        422,
        "The model has no direction of this name or number.",
        "Choose one that detail or GET /models lists.",
    )
    IMAGE_TOO_LARGE = (
        "image-too-large",
        422,
        "The answer would have too many pixels, in all or a side.",
        "Ask for fewer images, for a smaller scale, or for another format.",
    )
    INVALID_PICTURE = (
        "invalid-picture",
        422,
        "The picture cannot be read, or has too many pixels.",
        "Send a PNG or JPEG of at most 25 million pixels, or a WebP of at most 8 million.",
    )
    NO_ENCODER = (
        "no-encoder",
        422,
        "The model has no encoder, which finds the latents of pictures.",
        "Choose a model whose description at GET /models has an encoder.",
    )
    OVER_LIMIT = (
        "over-limit",
        422,
        "The request asks for more images than the key's limit ever allows.",
        "Ask for at most as many as detail says.",
    )
    RATE_LIMITED = (
        "rate-limited",
        429,
        "The key's rate or quota is used up.",
        "Ask again after Retry-After seconds, which may be hours.",
    )
    HEADERS_TOO_LARGE = ("headers-too-large", 431, "The headers are too many or too long.", "Send fewer.")
    INTERNAL_ERROR = (
        "internal-error",
        500,
        "The server has a fault.",
        "Report it, with the X-Request-Id of the answer and the lines of the log that name it.",
    )
    QUEUE_FULL = (
        "queue-full",
        503,
        "As many images wait as NELUMBO_QUEUE allows.",
        "Ask again after Retry-After seconds, or for fewer images.",
    )
    NOT_READY = (
        "not-ready",
        503,
        "The models, or the one asked for, are being loaded, or the server is stopping.",
        "Ask again after Retry-After seconds.",
    )
    NOT_COUNTED = (
        "not-counted",
        503,
        "The key's images cannot be counted, and NELUMBO_LIMITS_FAILURE is closed.",
        "Ask again after Retry-After seconds.",
    )
    DEADLINE_PASSED = (
        "deadline-passed",
        504,
        "The images were not drawn within NELUMBO_DEADLINE seconds.",
        "Ask for fewer images, or later.",
    )

    def __init__(self, slug: str, status: int, meaning: str, remedy: str) -> None:
        self.slug = slug
        self.status = HTTPStatus(status)
        self.meaning = meaning
        self.remedy = remedy

    @property
    def title(self) -> str:
        """Return the slug as words: ``Rate limited``."""
        return self.slug.replace("-", " ").capitalize().replace("http", "HTTP").replace("json", "JSON")

    @property
    def uri(self) -> str:
        """Return what the document's ``type`` says."""
        return PATH + self.slug
