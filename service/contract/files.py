"""Reading what lies in a model's folder: regular files of bounded size that do not lead out of it."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from service.contract.card import as_line
from service.contract.refusals import ContractError, Refusal

MODEL_FILE, DIGEST_FILE = "model.onnx", "sha256"
MAX_BYTES = 512 * 2**20
MAX_DIGESTS = 2**16  # bytes of the digest file: a line is about 80
README = "README.md"  # a description of the model, beside its file
MAX_README = 2**16
MAX_FIELDS = 2**12  # outermost ones of a model file, which has about twenty


@dataclass(frozen=True)
class ModelBytes:
    """The bytes of a model file and their SHA-256, which is the one that the digest file states."""

    digest: str
    data: bytes


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def read_verified(folder: Path, file: str = MODEL_FILE) -> ModelBytes:
    """Read ``folder/file`` and compare it with its line in the digest file; raises ContractError."""
    data = read_inside(folder, file, MAX_BYTES)
    digest = digest_of(data)
    stated = read_digests(folder).get(file)
    if stated is None:
        sentence = f"{folder / DIGEST_FILE} cannot be read or lacks {file}; {_remedy(folder)}"
        raise ContractError(Refusal.NO_DIGEST, sentence)
    if stated != digest:
        what = f"has digest {digest[:12]}…, but {DIGEST_FILE} says {as_line(stated[:12])}…"
        sentence = f"{folder / file} {what}; it is not what was exported, so copy or export it again"
        raise ContractError(Refusal.WRONG_DIGEST, sentence)
    return ModelBytes(digest, data)


def _remedy(folder: Path) -> str:
    """Return what to do about a missing digest; a file that is not complete must not get one."""
    if cut := next((path for path in sorted(folder.glob("*.onnx")) if is_cut_off(path)), None):
        return f"{cut.name} is cut off, too: copy or export it again"
    return f"type there: sha256sum *.onnx > {DIGEST_FILE}"


def is_cut_off(path: Path) -> bool:
    """Return whether a model file ends within a field of its message, as an interrupted copy does.

    Only the lengths of the outermost fields are read: protobuf's wire format says where each ends.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            size, at, fields = os.fstat(file.fileno()).st_size, 0, 0
            while at < size and fields < MAX_FIELDS:
                file.seek(at)
                at, fields = at + _field_length(file.read(20)), fields + 1
            return at != size or size == 0
    except (OSError, IndexError):
        return True


def _open_at_once(path: str, flags: int) -> int:
    """Open for reading; a FIFO, which nobody may ever write to, is open at once and has size 0."""
    return os.open(path, flags | os.O_NONBLOCK)


def _field_length(start: bytes) -> int:
    """Return the length of the field that begins with these bytes; raises IndexError where they end too early."""
    tag, at = _varint(start, 0)
    kind = tag & 7
    if kind in (1, 5):  # a number of 8 or of 4 bytes
        return at + (8 if kind == 1 else 4)
    number, at = _varint(start, at)
    if kind == 2:  # so many bytes follow
        return at + number
    if kind == 0:  # it was the field itself
        return at
    raise IndexError("no message of a model has groups")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins at a place, seven bits a byte, and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def read_digests(folder: Path) -> dict[str, str]:
    """Return file name -> stated digest from ``folder/sha256``; raises ContractError."""
    try:
        lines = read_inside(folder, DIGEST_FILE, MAX_DIGESTS).decode("ascii").splitlines()
        return {name: stated for stated, name in map(str.split, lines)}
    except (ContractError, ValueError) as error:
        sentence = f"{folder / DIGEST_FILE} cannot be read ({as_line(str(error))}); {_remedy(folder)}"
        raise ContractError(Refusal.NO_DIGEST, sentence) from error


def read_inside(folder: Path, file: str, limit: int, *, cut: bool = False) -> bytes:
    """Read ``folder/file``, which may be a link within the folder but not out of it; raises ContractError."""
    if not leads_inside(folder, file):
        raise ContractError(Refusal.UNREADABLE_FILE, f"{folder / file} is a link that leads out of its folder")
    return read_bytes(folder / file, limit, cut=cut)


def leads_inside(folder: Path, file: str) -> bool:
    """Return whether ``folder/file``, with links followed, lies in ``folder``; Kubernetes mounts are such links."""
    try:
        return (folder / file).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return False


def read_bytes(path: Path, limit: int = MAX_BYTES, *, cut: bool = False) -> bytes:
    """Read a regular file of at most ``limit`` bytes, or of a larger one the first; raises ContractError.

    A FIFO, a device or a directory is refused at once: the open does not block, and the kind is read of what was
    opened, not of the path, which may have changed meanwhile.
    """
    try:
        descriptor = os.open(path.resolve(), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or "links in a circle"
        raise ContractError(Refusal.UNREADABLE_FILE, f"{path} cannot be read: {reason}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise ContractError(Refusal.UNREADABLE_FILE, f"{path} is not a regular file")
        if found.st_size > limit and not cut:
            raise ContractError(Refusal.TOO_LARGE, _too_large(path, limit))
        with open(descriptor, "rb", closefd=False) as file:
            data = file.read(min(found.st_size, limit) + 1)
    except OSError as error:
        raise ContractError(Refusal.UNREADABLE_FILE, f"{path} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)
    if len(data) > limit and not cut:
        raise ContractError(Refusal.TOO_LARGE, _too_large(path, limit))  # it grew meanwhile
    return data[:limit]


def _too_large(path: Path, limit: int) -> str:
    size = f"{limit // 2**20} MiB" if limit >= 2**20 else f"{limit // 2**10} KiB"
    return f"{path} is larger than {size}"
