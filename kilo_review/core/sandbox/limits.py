"""What both ends of a helper process agree on; it imports nothing, since a helper is to start fast."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

MEMORY_BYTES = 256 << 20
"""Address space of the process. Ordinary source files of the largest size that is parsed take 70 MiB."""
WALL_SECONDS = 3.0
"""For one request, on a machine that is busy with other things as well; an ordinary file takes 0.2 s at most."""
ALL_CPU_SECONDS = 600
"""Processor time of one process for all of its requests."""
LARGEST_FRAME = 8 << 20
"""Bytes of one request or one answer."""
PREFIX_BYTES = 4
"""Before each frame, and before each text in it, stands its length in bytes, the most significant byte first."""


def packed(texts: "Iterable[str]") -> bytes:
    """Return texts as the content of a frame."""
    encoded = (text.encode("utf-8", "surrogatepass") for text in texts)
    return b"".join(len(data).to_bytes(PREFIX_BYTES, "big") + data for data in encoded)


def unpacked(data: bytes) -> list[str]:
    """Return the texts of a frame.

    Raises:
        ValueError: it is damaged.
    """
    texts, at = [], 0
    while at < len(data):
        begin = at + PREFIX_BYTES
        at = begin + int.from_bytes(data[at:begin], "big")
        if at > len(data):
            raise ValueError(at)
        texts.append(data[begin:at].decode("utf-8", "surrogatepass"))
    return texts
