"""The reasons for which a model file is refused: the table that log lines, ``POST /admin/reload`` and docs/ read."""

from enum import Enum


class Refusal(Enum):
    """Why a model file is refused; a slug is never renamed, as programs compare it.

    Each is: slug, why, what its owner can do, as Markdown for docs/troubleshoot.md.
    """

    UNREADABLE_FILE = (
        "unreadable-file",
        "The file cannot be read: it is missing, no regular file, or a link out of its folder.",
        "Copy the file itself to its place, with the right to read it.",
    )
    NO_DIGEST = (
        "no-digest",
        "The file `sha256` is missing or cannot be read, or has no line for the model.",
        "In that folder, `sha256sum *.onnx > sha256`.",
    )
    WRONG_DIGEST = (
        "wrong-digest",
        "The file is not the one of which `sha256` has the digest: it was cut off by a copy, or changed.",
        "Copy or export it again.",
    )
    TOO_LARGE = (
        "too-large",
        "A file is larger than is read, or the models of a source take more room than is kept.",
        "A smaller model; fewer versions at the source.",
    )
    NOT_ONNX = (
        "not-onnx",
        "The file is no ONNX model that can be read.",
        "Copy or export it again.",
    )
    BAD_CARD = (
        "bad-card",
        "The card is missing, of an unknown schema, or has a wrong value.",
        "Only `python -m export onnx` makes model files; export it with this version.",
    )
    WRONG_FOLDER = (
        "wrong-folder",
        "The folders are not called by the name and the version that the card says.",
        "Rename them to what the sentence says; for another name, export again with `--name`.",
    )
    OPERATOR_NOT_ALLOWED = (
        "operator-not-allowed",
        "An operator, its attributes or its opset is not served.",
        "Build the generator of [those that are](export.md#which-operators).",
    )
    BAD_GRAPH = (
        "bad-graph",
        "The graph is too large, its weights lie elsewhere, or a shape in it cannot be worked out.",
        "Export it with `python -m export onnx`.",
    )
    WRONG_SIGNATURE = (
        "wrong-signature",
        "The inputs, the output or what is drawn are not what the card says.",
        "Export it with `python -m export onnx`.",
    )
    ROWS_MIXED = (
        "rows-mixed",
        "An image depends on the others of its batch, so that a seed would not fix it.",
        "Use no operator over the first axis, the batch.",
    )
    TOO_MUCH_MEMORY = (
        "too-much-memory",
        "The batches of all cores would take over half of the memory, or one over 2 GiB.",
        "`NELUMBO_MAX_BATCH=4`, or more memory.",
    )
    DOES_NOT_RUN = (
        "does-not-run",
        "ONNX Runtime cannot open the file, or fails as it draws with it.",
        "Export it again; the sentence has ONNX Runtime's reason.",
    )
    TIMEOUT = (
        "timeout",
        "Opening the file and drawing with it takes longer than `NELUMBO_LOAD_SECONDS`.",
        "`NELUMBO_LOAD_SECONDS=300`; it is tried again ten minutes later, in case the machine was busy.",
    )
    CRASHED = (
        "crashed",
        "The process that checks the file ends while it opens it or draws with it.",
        "Export it again.",
    )
    WITHDRAWN = (
        "withdrawn",
        "Two workers crashed in ten minutes while they ran the model.",
        "Export it again; a restart of the server tries it again.",
    )
    NOT_CHECKED = (
        "not-checked",
        "The process that checks files did not start, or the server stops.",
        "Run the command that the sentence names; it says why.",
    )
    WRONG_ENCODER = (
        "wrong-encoder",
        "`encoder.onnx` was made for another model file.",
        "Export the encoder again, for this model.",
    )

    def __init__(self, slug: str, meaning: str, remedy: str) -> None:
        self.slug = slug
        self.meaning = meaning
        self.remedy = remedy


BY_SLUG = {kind.slug: kind for kind in Refusal}


class ContractError(Exception):
    """A model file breaks the contract; the message is one sentence for a person, ``kind`` is for programs."""

    def __init__(self, kind: Refusal, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind

    @property
    def line(self) -> str:
        """Return the sentence with its type, as logs and commands print it."""
        return f"{self} ({self.kind.slug})"
