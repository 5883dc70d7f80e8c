"""Sound files: what the simulator makes, and what it can tell about those it is sent."""

import hashlib
import io
import struct
import wave

import pytest

from pxt_assets.simulator.audio.sound.embedded_text import embedded_text
from pxt_assets.simulator.audio.sound.recording import guess_seconds, measure_seconds, recognise_format
from pxt_assets.simulator.audio.sound.speech import CONTENT_TYPES, Speech
from pxt_assets.simulator.audio.sound.wave import comment_of_pcm

FORMATS = sorted(CONTENT_TYPES)
KINDS = {"mp3": "mp3", "opus": "ogg", "aac": "aac", "flac": "flac", "wav": "wav"}
SENTENCE = "The zip broke after 2 days, and nobody answers."
LONGEST = "日本語🎉 " * 819 + "a"
TEXTS = [
    "a",
    " ",
    "ends with a space ",
    "\ttabs\nand lines\0",
    "Größe: 5 µm — 日本語 🎉",
    "[simulated speech, 3 bytes] abc",
    LONGEST,
]


def speak(format, text=SENTENCE, **changes):
    return Speech(text, "tts-1, alloy", **changes).encode(format)


def seconds(text=SENTENCE, **changes):
    return Speech(text, "tts-1, alloy", **changes).samples / 24_000


def heard(format, content):
    return embedded_text(comment_of_pcm(content) if format == "pcm" else content)


def synchsafe(four):
    return sum(byte << shift for byte, shift in zip(four, (21, 14, 7, 0), strict=True))


def id3(content):
    """The frames of the tag that a file begins with, and what follows the tag."""
    assert content[:6] == b"ID3\x04\x00\x00"
    end = 10 + synchsafe(content[6:10])
    place, frames = 10, {}
    while place < end:
        size = synchsafe(content[place + 4 : place + 8])
        frames[content[place : place + 4]] = content[place + 10 : place + 10 + size]
        place += 10 + size
    assert place == end
    return frames, content[end:]


def remainder(content, bits, polynomial):
    """A cyclic redundancy check by its definition: the remainder of a long division."""
    dividend = int.from_bytes(content, "big") << bits
    divisor = 1 << bits | polynomial
    for place in range(dividend.bit_length() - 1, bits - 1, -1):
        if dividend >> place & 1:
            dividend ^= divisor << (place - bits)
    return dividend


def ogg_pages(content):
    """(flags, granule position, serial, number, segments) of each page, its checksum tested."""
    while content:
        assert content[:5] == b"OggS\0"
        flags, granule, serial, number, checksum, count = struct.unpack_from("<BqIIIB", content, 5)
        lacing = content[27 : 27 + count]
        end = 27 + count + sum(lacing)
        page = content[:22] + bytes(4) + content[26:end]
        assert remainder(page, 32, 0x04C11DB7) == checksum
        yield flags, granule, serial, number, lacing, content[27 + count : end]
        content = content[end:]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("text", TEXTS)
def test_a_made_sound_carries_its_text(format, text):
    """Every format, any text: as it was, to the last space."""
    assert heard(format, speak(format, text)) == text


@pytest.mark.parametrize("format", FORMATS)
def test_text_that_is_no_unicode_is_carried_nearly(format):
    """Half a surrogate pair, which JSON can spell, becomes a question mark."""
    assert heard(format, speak(format, "a\ud83cb")) == "a?b"


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_speech_makes_the_same_file(format):
    """Another text makes another file; another speaker does where the format has tags."""
    assert speak(format) == speak(format)
    assert speak(format) != speak(format, "Another text.")
    other = Speech(SENTENCE, "tts-1, nova").encode(format)
    assert (other != speak(format)) is (format != "pcm")


def test_speech_lasts_as_long_as_its_text():
    """0.06 seconds a character and at least a tenth, ten seconds at most; the faster, the shorter."""
    assert seconds("a" * 100) == 6
    assert seconds("a" * 100, speed=2) == 3
    assert 0.1 <= seconds("a", speed=4) < seconds(SENTENCE) < seconds(LONGEST) <= 10


@pytest.mark.parametrize("format", sorted(KINDS))
@pytest.mark.parametrize("text", ["a", SENTENCE, LONGEST])
def test_a_made_sound_is_what_it_says(format, text):
    """It is recognised as its format, and as long as it was made; AAC fills its last frame up."""
    content = speak(format, text)
    assert recognise_format(content) == KINDS[format]
    assert measure_seconds(content, KINDS[format]) == pytest.approx(
        seconds(text), abs=0.043 if format == "aac" else 1e-9
    )


@pytest.mark.parametrize(("format", "most"), [("mp3", 4000), ("opus", 1500), ("aac", 1500), ("flac", 2500)])
def test_a_sentence_makes_a_small_file(format, most):
    """A rehearsal with many rows must not fill the disk. WAV and PCM are as large as they are."""
    assert len(speak(format)) < most


@pytest.mark.parametrize("text", ["a", SENTENCE])
def test_wav_is_read_by_the_standard_library(text):
    """16 bits, mono, 24 kHz, silent, and nothing after the samples."""
    content = speak("wav", text)
    with wave.open(io.BytesIO(content)) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, 24_000)
        assert sound.readframes(10**6) == bytes(2 * Speech(text, "").samples)
    assert struct.unpack_from("<I", content, 4)[0] == len(content) - 8


def test_wav_has_tags_where_readers_look_for_them():
    """The INFO list, its strings terminated and padded to an even length."""
    content = speak("wav", "four")
    size = struct.unpack_from("<I", content, content.index(b"LIST") + 4)[0]
    start = content.index(b"INFO")
    info = content[start : start + size]
    assert info[4:12] == b"IART" + struct.pack("<I", 13)
    assert info[12:26] == b"tts-1, alloy\0\0"
    assert info[26:30] == b"ICMT"
    assert content[start + size : start + size + 4] == b"data"


def test_pcm_hides_its_text_in_the_lowest_bits():
    """16-bit samples of 0 or 1, which nobody hears."""
    content = speak("pcm")
    samples = struct.unpack(f"<{len(content) // 2}h", content)
    assert len(samples) == Speech(SENTENCE, "").samples
    assert set(samples) == {0, 1}


def test_mp3_is_a_tag_and_whole_frames():
    """MPEG-2 layer III without CRC, 24 kHz, mono; each frame 24 ms at 8 kbit/s, with empty side information."""
    frames, audio = id3(speak("mp3"))
    assert frames[b"TPE1"] == b"\x03tts-1, alloy"
    assert frames[b"COMM"].startswith(b"\x03und\x00[simulated speech, 47 bytes] The zip")
    header = int.from_bytes(audio[:4], "big")
    assert header >> 21 == 0x7FF
    assert [header >> 19 & 3, header >> 17 & 3, header >> 16 & 1] == [2, 1, 1]
    assert [header >> 12 & 15, header >> 10 & 3, header >> 9 & 1, header >> 6 & 3] == [1, 1, 0, 3]
    size = 72 * 8000 // 24_000
    assert audio == (audio[:4] + bytes(size - 4)) * round(seconds() / 0.024)


def test_aac_is_a_tag_and_whole_adts_frames():
    """Each header states the size of its frame: MPEG-4, LC, 24 kHz, mono."""
    frames, audio = id3(speak("aac"))
    assert b"COMM" in frames
    place = count = 0
    while place < len(audio):
        header = int.from_bytes(audio[place : place + 7], "big")
        assert header >> 44 == 0xFFF
        assert [header >> 41 & 3, header >> 40 & 1] == [0, 1]
        assert [header >> 38 & 3, header >> 34 & 15, header >> 30 & 7, header & 3] == [1, 6, 1, 0]
        place += header >> 13 & 0x1FFF
        count += 1
    assert place == len(audio)
    assert 0 <= count * 1024 - seconds() * 24_000 < 1024


def test_flac_states_its_samples_and_their_digest():
    """In the first block; the comments are the second and last."""
    content = speak("flac")
    assert content[:8] == b"fLaC\x00\x00\x00\x22"
    smallest, largest = struct.unpack(">HH", content[8:12])
    format = int.from_bytes(content[18:26], "big")
    samples = Speech(SENTENCE, "").samples
    assert smallest == largest == 576
    assert [format >> 44, format >> 41 & 7, format >> 36 & 31] == [24_000, 0, 15]
    assert format & (1 << 36) - 1 == samples
    assert content[26:42] == hashlib.md5(bytes(2 * samples)).digest()
    assert content[42] == 0x84
    comments = content[46 : 46 + int.from_bytes(content[43:46], "big")]
    assert comments.endswith(SENTENCE.encode())


@pytest.mark.parametrize("text", ["a", SENTENCE, LONGEST])
def test_flac_frames_are_numbered_and_checked(text):
    """A header with CRC-8, a constant subframe, CRC-16; as many as the samples take."""
    content = speak("flac", text)
    rest = content[46 + int.from_bytes(content[43:46], "big") :]
    for number in range(Speech(text, "").samples // 576):
        coded = chr(number).encode()
        frame, rest = rest[: 10 + len(coded)], rest[10 + len(coded) :]
        # Fixed blocks; 576 samples, 24 kHz; one channel, 16 bits.
        assert frame[:4] == bytes((0xFF, 0xF8, 0x27, 0x08))
        assert frame[4:-6] == coded
        assert remainder(frame[:-5], 8, 0x07) == 0
        assert frame[-5:-2] == bytes(3)
        assert remainder(frame, 16, 0x8005) == 0
    assert rest == b""


@pytest.mark.parametrize("text", ["a", SENTENCE, LONGEST])
def test_opus_is_a_stream_of_checked_ogg_pages(text):
    """Head, tags and packets on pages of their own, in order; the first and the last marked as such."""
    pages = list(ogg_pages(speak("opus", text)))
    flags, granules, serials, numbers, lacings, contents = zip(*pages, strict=True)
    assert flags == (2, *(0,) * (len(pages) - 2), 4)
    assert numbers == tuple(range(len(pages)))
    assert len(set(serials)) == 1
    assert contents[0] == b"OpusHead\x01\x01" + struct.pack("<HIhB", 0, 24_000, 0, 0)
    assert contents[1].startswith(b"OpusTags\x0d\0\0\0pxt-simulator\x02\0\0\0")
    assert contents[1].endswith(text.encode())
    assert list(granules[:2]) == [0, 0]
    packets = 0
    for granule, lacing, content in zip(granules[2:], lacings[2:], contents[2:], strict=True):
        assert content == b"\xf8\xff\xfe" * len(lacing)
        packets += len(lacing)
        assert granule == 960 * packets
    assert granules[-1] / 48_000 == seconds(text)


@pytest.mark.parametrize(
    ("content", "kind", "lasts"),
    [
        (b"\0\0\0\x20ftypM4A ", "mp4", None),
        (b"\0\0\0\x20ftypisom" + b"mvhd" + struct.pack(">4x2I2I", 0, 0, 1000, 2500), "mp4", 2.5),
        (b"\0\0\0\x20ftypisom" + b"mvhd" + b"\1" + struct.pack(">3x2QIQ", 0, 0, 1000, 2500), "mp4", 2.5),
        (b"\x1a\x45\xdf\xa3\x01", "webm", None),
        (b"\0\0\x01\xba\x44", "mpeg", None),
        # MPEG-1 layer III at 128 kbit/s and 44.1 kHz, with and without a tag.
        (bytes((0xFF, 0xFB, 0x90, 0x00)) + bytes(15_996), "mp3", 1.0),
        (b"ID3\x03\0\0\0\0\0\x01\0" + bytes((0xFF, 0xFB, 0x90, 0x00)) + bytes(15_996), "mp3", 1.0),
        (b"ID3\x03\0\0\0\0\0\0" + b"padding", "mp3", None),
        (b"OggS\0\2" + bytes(20) + b"\1\x1e\x01vorbis" + struct.pack("<IBI", 0, 2, 44_100), "ogg", 0),
        (
            b"OggS\0\2" + bytes(20) + b"\1\x13OpusHead\1\1" + struct.pack("<HI", 312, 48_000)
            + b"OggS\0\4" + struct.pack("<q", 48_312), "ogg", 1.0,
        ),
        (b"RIFF\xff\xff\xff\xffWAVEdata", "wav", None),
        (
            b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + struct.pack("<HHIIHH", 1, 2, 8000, 32_000, 4, 16)
            + b"data\xff\xff\xff\xff" + bytes(16_000), "wav", 0.5,
        ),
    ],
)  # fmt: skip
def test_recordings_are_told_by_their_first_bytes(content, kind, lasts):
    """And measured where their headers state a length."""
    assert recognise_format(content) == kind
    assert measure_seconds(content, kind) == lasts
    assert embedded_text(content) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"ID3",
        b"ID3\x04\0\0\0\0\0\0",
        b"RIFF\0\0\0\0WEBP",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"\xff\xff\xff\xff",
        b"not a sound",
        b"[simulated speech, 5 bytes] Hello",
    ],
)
def test_other_files_are_no_recordings(content):
    """Nor is a tag without any sound."""
    assert recognise_format(content) is None


@pytest.mark.parametrize("kind", ["aac", "flac", "mp3", "mp4", "ogg", "wav"])
def test_a_broken_recording_has_no_length(kind):
    """Cut off anywhere in its headers, it is not measured; nothing is raised."""
    format = {"ogg": "opus", "mp4": "wav"}.get(kind, kind)
    content = speak(format)
    for end in range(0, 60):
        lasts = measure_seconds(content[:end], kind)
        assert lasts is None or lasts >= 0


def test_a_long_aac_recording_is_measured_by_its_start():
    """Frames have no common size, and walking through 25 MB of them takes too long."""
    audio = speak("aac")
    frame = audio[-13:]
    assert measure_seconds(frame * 1500, "aac") == pytest.approx(1500 * 1024 / 24_000)


def test_a_length_can_be_guessed():
    """From the size, at 128 kbit/s."""
    assert guess_seconds(bytes(160_000)) == 10
    assert guess_seconds(b"short") == 1


@pytest.mark.parametrize(
    "content",
    [
        b"[simulated speech, 9 bytes] short",
        b"[simulated speech, 1 bytes] \xff",
        b"[simulated speech, x bytes] x",
    ],
)
def test_a_damaged_comment_carries_nothing(content):
    """Too short, no UTF-8, or without a length."""
    assert embedded_text(b"before" + content) is None
