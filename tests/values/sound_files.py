"""Sounds as files of many kinds, silent, as encoders and streaming servers write them."""

import struct


def wav(
    seconds: float,
    size: int | None = None,
    *,
    rate: int = 24_000,
    channels: int = 1,
    bits: int = 16,
    kind: int = 1,
    before: bytes = b"",
    after: bytes = b"",
    riff: bytes = b"RIFF",
) -> bytes:
    """A WAV whose header states `size` bytes of samples, by default those that there are."""
    block = channels * bits // 8
    samples = bytes(int(seconds * rate) * block)
    format = struct.pack("<HHIIHH", kind, channels, rate, rate * block, block, bits)
    if kind == 0xFFFE:
        format += struct.pack("<HHIH", 22, bits, 0, 1) + bytes(14)
    data = b"data" + struct.pack("<I", len(samples) if size is None else size) + samples
    content = b"WAVE" + before + chunk(b"fmt ", format) + data + after
    return riff + struct.pack("<I", len(content) if size is None else 0xFFFFFFFF) + content


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def rf64(seconds: float) -> bytes:
    """A WAV in the form for files beyond 4 GB."""
    count = int(seconds * 24_000) * 2
    ds64 = chunk(b"ds64", struct.pack("<QQQI", count + 100, count, 0, 0))
    return wav(seconds, 0xFFFFFFFF, before=ds64, riff=b"RF64")


def box(name: bytes, *content: bytes) -> bytes:
    inside = b"".join(content)
    return struct.pack(">I", 8 + len(inside)) + name + inside


def m4a(samples: int, *, fragments: int = 0, default: str = "", header: int = 0) -> bytes:
    """An M4A of frames of 1,024 samples at 24 kHz.

    With `fragments`, they are in so many of them, each sample's length told by the run itself, or by the `default` of
    the "fragment" or of the "track"; `header` is the length that the header states all the same, in milliseconds.
    """
    frames = samples // 1_024
    listed = [] if fragments else [(frames, 1_024)]
    length = header if fragments else samples * 1_000 // 24_000
    stts = box(b"stts", struct.pack(">II", 0, len(listed)), *(struct.pack(">II", *entry) for entry in listed))
    mdhd = box(b"mdhd", struct.pack(">IIIIII", 0, 0, 0, 24_000, 0 if fragments else samples, 0))
    hdlr = box(b"hdlr", bytes(8), b"soun", bytes(13))
    mdia = box(b"mdia", mdhd, hdlr, box(b"minf", box(b"stbl", stts)))
    trak = box(b"trak", box(b"tkhd", struct.pack(">IIIIII", 7, 0, 0, 1, 0, 0)), mdia)
    trex = box(b"trex", struct.pack(">IIIIII", 0, 1, 1, 1_024 if default == "track" else 0, 0, 0))
    mvex = [box(b"mvex", trex)] if fragments else []
    mvhd = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1_000, length), bytes(80))
    parts = [box(b"ftyp", b"M4A ", bytes(4)), box(b"moov", mvhd, trak, *mvex)]
    for _ in range(fragments):
        count = frames // fragments
        flags, fields = (0, b"") if default else (0x100, struct.pack(">I", 1_024) * count)
        trun = box(b"trun", struct.pack(">II", flags, count), fields)
        tfhd = struct.pack(">II", 0x8, 1) + struct.pack(">I", 1_024)
        tfhd = box(b"tfhd", tfhd if default == "fragment" else struct.pack(">II", 0, 1))
        parts += [box(b"moof", box(b"mfhd", bytes(8)), box(b"traf", tfhd, trun)), box(b"mdat", bytes(100))]
    return b"".join(parts)


def element(name: int, content: bytes, *, is_open: bool = False) -> bytes:
    size = b"\x01" + b"\xff" * 7 if is_open else struct.pack(">Q", 1 << 56 | len(content))
    return name.to_bytes((name.bit_length() + 7) // 8) + size + content


def webm(seconds: float, *, streamed: bool) -> bytes:
    """A WebM of blocks of 20 ms in clusters of a second; where streamed, without a length and sizes of its parents."""
    info = element(0x2AD7B1, (1_000_000).to_bytes(3))
    if not streamed:
        info += element(0x4489, struct.pack(">d", seconds * 1_000))
    clusters = b""
    for start in range(0, int(seconds * 1_000), 1_000):
        blocks = b"".join(
            element(0xA3, b"\x81" + struct.pack(">h", at) + b"\x80" + b"x")
            for at in range(0, min(1_000, int(seconds * 1_000) - start), 20)
        )
        clusters += element(0x1F43B675, element(0xE7, start.to_bytes(4)) + blocks, is_open=streamed)
    segment = element(0x18538067, element(0x1549A966, info) + clusters, is_open=streamed)
    return element(0x1A45DFA3, element(0x4282, b"webm")) + segment
