"""NIST SPHERE files, with the checks that libsndfile leaves out (data.md 3.1)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ablate.data.items import BadItem

MAGIC = b"NIST_1A"
SMALLEST_HEADER = 1024
DTYPES = {(1, ""): "i1", (1, "1"): "i1", (2, "01"): "<i2", (2, "10"): ">i2"}


@dataclass(frozen=True)
class Header:
    """The fields of a SPHERE header, all as text, and where the samples begin."""

    size: int
    fields: dict[str, str]

    def number(self, name: str) -> int:
        """An integer field; raises BadItem where it is missing or no integer."""
        try:
            return int(self.fields[name])
        except KeyError:
            raise BadItem(f"SPHERE header without {name}") from None
        except ValueError:
            raise BadItem(f"SPHERE header: {name} is {self.fields[name]!r}, not an integer") from None


def read_header(content: bytes) -> Header:
    """The header of a SPHERE file; raises BadItem where it is damaged or incomplete."""
    lines = content[:16].split(b"\n")
    if lines[0].rstrip() != MAGIC:
        raise BadItem(f"no SPHERE file: begins with {content[:8]!r}, not {MAGIC!r}")
    stated = lines[1].strip() if len(lines) > 2 else b""
    if not stated.isdigit() or int(stated) < SMALLEST_HEADER:
        raise BadItem(f"SPHERE header: size {stated!r}, not a number of at least {SMALLEST_HEADER}")
    size = int(stated)
    if len(content) < size:
        raise BadItem(f"SPHERE header incomplete: {len(content)} of {size} bytes")
    text, end, _ = content[16:size].decode("latin-1").partition("end_head")
    if not end:
        raise BadItem(f"SPHERE header without end_head in its {size} bytes")
    fields = {}
    for line in text.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name and not name.startswith(";"):
            fields[name] = rest.strip().partition(" ")[2] if rest.startswith("-") else rest.strip()
    return Header(size, fields)


def read_sphere(path: Path) -> tuple[np.ndarray, int]:
    """Samples (S, channels) int8 or int16 and the rate in Hz; raises BadItem, with both numbers where they disagree."""
    content = path.read_bytes()
    header = read_header(content)
    channels = header.number("channel_count") if "channel_count" in header.fields else 1
    width, count, rate = (header.number(name) for name in ("sample_n_bytes", "sample_count", "sample_rate"))
    dtype = _dtype(header, width)
    if channels < 1 or rate < 1:
        raise BadItem(f"SPHERE header: {channels} channels at {rate} Hz")
    payload = len(content) - header.size
    if payload != count * channels * width:
        found = payload // (channels * width)
        raise BadItem(
            f"{'truncated' if payload < count * channels * width else 'too long'}: {found} samples ({payload} bytes)"
            f" instead of {count} ({count * channels * width} bytes)"
        )
    samples = np.frombuffer(content, dtype, offset=header.size).reshape(count, channels)
    for name, found in (("sample_min", samples.min(initial=0)), ("sample_max", samples.max(initial=0))):
        if name in header.fields and count and header.number(name) != found:
            raise BadItem(f"damaged: {name} is {found}, and the header says {header.number(name)}")
    return samples.astype(samples.dtype.newbyteorder("=")), rate


def _dtype(header: Header, width: int) -> str:
    coding = header.fields.get("sample_coding", "pcm")
    if coding != "pcm":
        raise BadItem(f"SPHERE coding {coding!r} is not supported, only pcm; convert the file")
    order = header.fields.get("sample_byte_format", "")
    if (width, order) not in DTYPES:
        raise BadItem(f"SPHERE samples of {width} bytes in byte format {order!r} are not supported; convert the file")
    return DTYPES[width, order]
