#!/usr/bin/env python3
"""Makes files that are not what they seem, for the tests: nothing is downloaded, nothing is kept in the tree.

    python3 tests/media/hostile.py FOLDER CLIP

CLIP is a sound MP4 whose index comes first.
"""

import os
import struct
import sys
import zlib

MEBIBYTE = 1 << 20


def chunk(kind, data):
    """A chunk of a PNG (ISO/IEC 15948, 5.3)."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, *chunks, bits=8, color=2, rows=None):
    """A PNG of one colour whose size is what its header says, unless `rows` are given."""
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    if rows is None:
        rows = zeros((1 + (width * bits * (3 if color == 2 else 1) + 7) // 8) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def zeros(count):
    """That many zero bytes, deflated, without ever holding them all."""
    packer = zlib.compressobj(9)
    block = bytes(MEBIBYTE)
    packed = [packer.compress(block) for _ in range(count // MEBIBYTE)]
    packed.append(packer.compress(bytes(count % MEBIBYTE)))
    return b"".join(packed) + packer.flush()


def main(folder, clip):
    with open(clip, "rb") as file:
        film = file.read()
    small = png(8, 8)
    files = {
        "empty.mp4": b"",
        "text.mp4": b"This is no film at all.\n" * 40,
        "page.png": b"<!doctype html><title>404</title><p>Nothing here</p>\n" * 20,
        # The index is whole, half of the samples are missing; and the other way round.
        "truncated.mp4": film[: len(film) * 6 // 10],
        "indexless.mp4": film[:32] + film[film.index(b"mdat") - 4 :],
        "truncated.png": small[:-24],
        # 400 million pixels in 50 KiB.
        "huge.png": png(20_000, 20_000, bits=1, color=0),
        # The header alone asks for a hundred gigabytes.
        "header.png": png(2**31 - 1, 16, rows=zeros(16)),
        # A sound little picture that carries a colour profile and a text of a gibibyte.
        "bomb.png": png(64, 64, chunk(b"iCCP", b"profile\0\0" + zeros(1024 * MEBIBYTE)), chunk(b"zTXt", b"Comment\0\0" + zeros(64 * MEBIBYTE))),
    }
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
