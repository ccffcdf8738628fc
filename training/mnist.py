"""Download MNIST: the four files that Yann LeCun published (CC BY-SA 3.0), with their digests checked."""

import hashlib
import urllib.error
import urllib.request
from pathlib import Path

from training.errors import InputError, TrainingError
from training.files import write_atomically

MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/")
SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
TIMEOUT = 30.0  # seconds without data


def fetch(out: Path) -> None:
    """Download the four files to ``out``; valid existing files are kept.

    Raises:
        TrainingError: no mirror returned a valid file.
        InputError: a file in ``out`` differs from the published one.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {out} cannot be created ({error.strerror})") from error
    for name, digest in SHA256.items():
        path = out / name
        if not path.exists():
            write_atomically(path, _download(name, digest, out))
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise InputError(f"{path} is not the published file (its SHA-256 differs); delete it and run this again")


def _download(name: str, digest: str, out: Path) -> bytes:
    for mirror in MIRRORS:
        try:
            with urllib.request.urlopen(mirror + name, timeout=TIMEOUT) as answer:  # noqa: S310 # nosec B310 (https)
                data: bytes = answer.read()
        except (urllib.error.URLError, OSError):
            continue
        if hashlib.sha256(data).hexdigest() == digest:
            return data
    raise TrainingError(
        f"MNIST could not be fetched: no mirror answered with {name}; put {', '.join(SHA256)} into {out} by hand"
    )
