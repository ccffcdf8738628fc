"""The marking of every file: that a machine made it (IPTC, in XMP), and what it takes to draw it again."""

import json

from PIL import ExifTags, Image

from service.formats.png import chunk

# https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta>'
)
# Scanners find XMP by this wrapper in files that they cannot read; the standard requires it in JPEG.
XMP_PACKET = f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{XMP}<?xpacket end="r"?>'.encode()
# keyword, uncompressed, no language, no translated keyword, text
XMP_CHUNK = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.encode())


def png_chunks(texts: dict[str, str]) -> bytes:
    """Return the chunks that mark a PNG: the XMP, and a text chunk for each of ``texts``."""
    return b"".join([XMP_CHUNK, *[_text_chunk(key, text) for key, text in texts.items()]])


def _text_chunk(key: str, text: str) -> bytes:
    """Return tEXt, or iTXt for a text that is not Latin-1, such as the name of a class."""
    try:
        return chunk(b"tEXt", f"{key}\0{text}".encode("latin-1"))
    except UnicodeEncodeError:
        return chunk(b"iTXt", f"{key}\0\0\0\0\0{text}".encode())


def exif(texts: dict[str, str]) -> bytes:
    """Return EXIF data whose ImageDescription is ``texts`` as JSON, for formats that have no text chunks."""
    made = Image.Exif()
    made[ExifTags.Base.ImageDescription] = json.dumps(texts)
    return made.tobytes()
