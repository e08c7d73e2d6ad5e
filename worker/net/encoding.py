"""What a Content-Encoding header says of a body's bytes. Pure.

Real stores send an empty value, `aws-chunked` (S3 keeps that of the upload), `utf-8` (set by hand) or `Identity` with
bytes that are not encoded.
"""

_PLAIN = frozenset({"", "identity", "aws-chunked", "utf-8", "utf8", "binary", "none", "us-ascii"})


def coding_of(header: str | None) -> str:
    """The coding in lower case; empty if the bytes are not encoded."""
    codings = [part.strip().lower() for part in (header or "").split(",")]
    return ", ".join(coding for coding in codings if coding not in _PLAIN)
