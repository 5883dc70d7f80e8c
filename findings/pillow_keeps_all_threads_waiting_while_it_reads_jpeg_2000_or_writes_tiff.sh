#!/usr/bin/env bash
# Pillow keeps all threads waiting while it reads JPEG 2000, or writes a compressed TIFF.
#
# Expected: decoding and encoding an image lets other threads run (the interpreter's lock is released while C code
#   works on pixels), so that a server or an event loop goes on when the work is given to a thread. That is so for
#   PNG, JPEG, WebP, AVIF and GIF, both ways, and for reading TIFF.
# Seen: reading JPEG 2000 and writing it, and writing TIFF with any compression, hold the lock from the first byte to
#   the last: a thread that only wants to wake every millisecond waits nearly as long as the whole work takes, which
#   is seconds for a picture of twelve megapixels. A thread is of no use then; only another process is.
# Versions: pillow 13.0.0 (its wheels have libtiff 4.7.2 and OpenJPEG 2.5), numpy 2.4.6, Python 3.11, Linux x86-64.
# Source: https://pillow.readthedocs.io/en/stable/handbook/image-file-formats.html, and `pulls_fd` / `pushes_fd` in
#   src/decode.c and src/encode.c of Pillow: coders that read or write the file themselves are called with the lock.
#   https://github.com/python-pillow/Pillow
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet "pillow==13.0.0" "numpy==2.4.6"
"$folder/venv/bin/python" - <<'PYTHON'
import io
import threading
import time

import numpy
import PIL.Image

pixels = numpy.random.default_rng(1).integers(0, 255, (1500, 2000, 3), dtype=numpy.uint8)
image = PIL.Image.fromarray(pixels)


def share_of_longest_gap(work):
    """The longest time that another thread was kept from waking, as a share of the time that the work took."""
    gaps, done = [], threading.Event()

    def tick():
        last = time.perf_counter()
        while not done.is_set():
            time.sleep(0.001)
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    ticking = threading.Thread(target=tick)
    ticking.start()
    time.sleep(0.05)
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    done.set()
    ticking.join()
    return max(gaps) / seconds


seen = {}
for name, options in (("PNG", {}), ("WEBP", {}), ("TIFF", {"compression": "tiff_deflate"}), ("JPEG2000", {})):
    file = io.BytesIO()
    writing = share_of_longest_gap(lambda: image.save(file, name, **options))
    reading = share_of_longest_gap(lambda: PIL.Image.open(io.BytesIO(file.getvalue())).load())
    seen[name] = (writing > 0.6, reading > 0.6)
    print(f"{name:9s} other threads wait all the while: writing {seen[name][0]}, reading {seen[name][1]}")
expected = {"PNG": (False, False), "WEBP": (False, False), "TIFF": (True, False), "JPEG2000": (True, True)}
assert seen == expected, (seen, "Pillow lets other threads run at other times now")
PYTHON
# Seen on 2026-11-30:
# PNG       other threads wait all the while: writing False, reading False
# WEBP      other threads wait all the while: writing False, reading False
# TIFF      other threads wait all the while: writing True, reading False
# JPEG2000  other threads wait all the while: writing True, reading True
