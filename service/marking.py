"""What every picture says of itself: that a machine made it, and how to make it again."""

# https://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    f'Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"/></rdf:RDF></x:xmpmeta>'
)
# keyword, uncompressed, no language, no translated keyword, text
XMP_CHUNK = (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.encode())


def png_chunks(model: str, version: int, truncation: float, seed: str | None) -> list[tuple[bytes, bytes]]:
    """Return the chunks that mark a PNG; ``seed`` is None for a picture that came from a latent."""
    texts = {"model": model, "version": str(version), "truncation": repr(truncation)}
    if seed is not None:
        texts["seed"] = seed
    return [XMP_CHUNK, *((b"tEXt", f"{key}\0{text}".encode("latin-1")) for key, text in texts.items())]
