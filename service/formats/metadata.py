"""What every picture says of itself: that a machine made it, and how to make it again."""

import json

from PIL import ExifTags, Image

# https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta>'
)
# The wrapper by which scanners find XMP in files that they cannot read; the standard wants it in JPEG.
XMP_PACKET = f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{XMP}<?xpacket end="r"?>'.encode()
# keyword, uncompressed, no language, no translated keyword, text
XMP_CHUNK = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.encode())


def texts(model: str, version: int, truncation: float, seed: str | None) -> dict[str, str]:
    """Return how to make a picture again; ``seed`` is None for one that came from a latent."""
    found = {"model": model, "version": str(version), "truncation": repr(truncation)}
    return found if seed is None else found | {"seed": seed}


def png_chunks(model: str, version: int, truncation: float, seed: str | None) -> list[tuple[bytes, bytes]]:
    """Return the chunks that mark a PNG."""
    return chunks(texts(model, version, truncation, seed))


def chunks(told: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """Return the chunks that mark a PNG, ``told`` among them."""
    return [XMP_CHUNK, *((b"tEXt", f"{key}\0{text}".encode("latin-1")) for key, text in told.items())]


def exif(told: dict[str, str]) -> bytes:
    """Return EXIF whose ImageDescription holds ``told`` as JSON: WebP and JPEG have no text chunks."""
    made = Image.Exif()
    made[ExifTags.Base.ImageDescription] = json.dumps(told)
    return made.tobytes()
