"""How long sounds are, where their headers tell and where they lie."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pxt_assets.simulator.audio.sound import flac, mpeg, opus, wave
from pxt_assets.values.duration import duration_seconds
from pxt_assets.values.media import Media
from tests.values.sound_files import chunk, m4a, rf64, wav, webm

RATE = 24_000


def length(content: bytes) -> float | None:
    return Media(content).seconds


def streamed_flac(samples: int) -> bytes:
    """A FLAC whose header knows no number of samples."""
    content = bytearray(flac.encode(b"", b"", samples))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    return bytes(content)


class TestWav:
    @pytest.mark.parametrize("size", [None, 0xFFFFFFFF, 0, 0xFFFFFFFF - 36, 0x7FFFFFFF, 10**7])
    @pytest.mark.parametrize("kind", [1, 3, 6, 7, 0xFFFE])
    def test_the_samples_that_are_there_count(self, size, kind):
        """Whatever the header of a streamed one has in place of their number."""
        assert length(wav(1.5, size, kind=kind)) == pytest.approx(1.5)

    @pytest.mark.parametrize(("rate", "channels", "bits"), [(8_000, 1, 8), (44_100, 2, 24), (48_000, 6, 32)])
    def test_a_sample_has_channels_and_bits(self, rate, channels, bits):
        """Of streamed files too."""
        for size in (None, 0xFFFFFFFF):
            content = wav(0.5, size, rate=rate, channels=channels, bits=bits)
            assert length(content) == pytest.approx(0.5)

    def test_chunks_around_the_samples_are_no_sound(self):
        """Tags stand before or after them."""
        tags = chunk(b"LIST", b"INFO" + bytes(51))
        assert length(wav(0.5, before=tags, after=tags)) == pytest.approx(0.5)
        assert length(wave.encode_wav(b"comment", b"artist", 12_000)) == pytest.approx(0.5)

    def test_files_beyond_4_gb_state_their_size_elsewhere(self):
        """In a chunk of its own."""
        assert length(rf64(0.5)) == pytest.approx(0.5)
        assert length(b"BW64" + rf64(0.5)[4:]) == pytest.approx(0.5)

    def test_a_cut_file_is_as_long_as_what_is_left(self):
        """Its header states more."""
        content = wav(2.0)
        assert length(content[: len(content) - 2 * RATE]) == pytest.approx(1.0)

    def test_one_without_a_sound_has_no_seconds(self):
        """Alone, or before its tags."""
        assert length(wav(0)) == 0
        assert length(wav(0, after=chunk(b"LIST", b"INFO" + bytes(50)))) == 0

    def test_a_compressed_one_is_as_long_as_its_samples_or_its_bytes_say(self):
        """A header states the samples, or the bytes a second."""
        head = struct.pack("<HHIIHH", 0x11, 1, 8_000, 4_000, 256, 4) + bytes(2)
        fact = chunk(b"fact", struct.pack("<I", 16_000))
        body = b"WAVE" + chunk(b"fmt ", head) + fact + chunk(b"data", bytes(8_200))
        assert length(b"RIFF" + struct.pack("<I", len(body)) + body) == 2.0
        body = b"WAVE" + chunk(b"fmt ", head) + b"data\xff\xff\xff\xff" + bytes(8_000)
        assert length(b"RIFF\xff\xff\xff\xff" + body) == 2.0


class TestFrames:
    @pytest.mark.parametrize("encode", [mpeg.encode_mp3, mpeg.encode_aac])
    def test_frames_are_counted(self, encode):
        """Behind an ID3 tag, before another, and where the last one is cut."""
        content = encode(b"comment", b"artist", 9_216 * 10)
        assert length(content) == pytest.approx(9_216 * 10 / RATE)
        assert length(content + b"TAG" + bytes(125)) == pytest.approx(9_216 * 10 / RATE)
        assert length(content[:-5]) == pytest.approx(9_216 * 10 / RATE, abs=1_024 / RATE)

    def test_a_frame_that_says_how_many_follow_is_not_believed(self):
        """The file may have been cut, and that frame is no sound."""
        frame = bytes((0xFF, 0xF3, 0x14, 0xC0))
        info = frame + b"\0\0\0\0\0\0\0\0\0Info\0\0\0\x01"[:20]
        assert length(info.ljust(24, b"\0") + (frame + bytes(20)) * 10) == pytest.approx(10 * 576 / RATE)

    def test_frames_of_several_bitrates_are_as_long_as_each_says(self):
        """No average of the first ones is taken for all."""
        small, large = (
            bytes((0xFF, 0xF3, 0x14, 0xC0)) + bytes(20),
            bytes((0xFF, 0xF3, 0xE4, 0xC0)) + bytes(476),
        )
        assert length(small * 50 + large * 50) == pytest.approx(100 * 576 / RATE)

    def test_an_interruption_is_passed_over(self):
        """What is no frame is no sound."""
        content = mpeg.encode_aac(b"", b"", 10_240)
        assert length(content + b"junk" * 20 + content[content.index(b"\xff\xf1") :]) == pytest.approx(
            20_480 / RATE
        )

    def test_what_holds_more_of_something_else_is_unknown(self):
        """It may be another format that begins alike."""
        assert length(mpeg.encode_aac(b"", b"", 1_024) + bytes(range(100)) * 10) is None
        assert length(b"ID3\x04" + bytes(60)) is None


class TestFlac:
    @pytest.mark.parametrize("samples", [576, 57_600, 576 * 3_000])
    def test_a_streamed_one_is_as_long_as_its_last_frame_says(self, samples):
        """Its header, which was written first, has no number of samples."""
        assert length(flac.encode(b"c", b"a", samples)) == pytest.approx(samples / RATE)
        assert length(streamed_flac(samples)) == pytest.approx(samples / RATE)

    def test_a_cut_one_ends_with_its_last_whole_header(self):
        """To a frame."""
        assert length(streamed_flac(57_600)[:-20]) == pytest.approx(57_600 / RATE, abs=3 * 576 / RATE)

    def test_one_without_frames_is_unknown(self):
        """Not of no length."""
        content = streamed_flac(576)
        assert length(content[: content.index(b"\xff\xf8")]) is None


class TestOgg:
    def test_the_last_page_says_how_long_it_is(self):
        """One that is cut does not count."""
        content = opus.encode(b"c", b"a", 480 * 1_000)
        assert length(content) == pytest.approx(20.0)
        assert length(content[:-1]) == pytest.approx(3 * 255 * 480 / RATE)

    def test_streams_that_follow_each_other_are_added(self):
        """As the parts of a chain are, whether they have one number or several."""
        one, other = opus.encode(b"c", b"a", 480 * 100), opus.encode(b"d", b"a", 480 * 50)
        assert length(one + other) == pytest.approx(3.0)
        assert length(one + one) == pytest.approx(4.0)

    def test_the_recording_of_a_running_stream_starts_with_its_first_page(self):
        """Positions count from when the stream began: hours ago."""
        content = bytearray(opus.encode(b"c", b"a", 480 * 1_000))
        at = 0
        while (at := content.find(b"OggS", at + 1)) > 0:
            position = int.from_bytes(content[at + 6 : at + 14], "little")
            if position:
                content[at + 6 : at + 14] = (position + 48_000 * 7_200).to_bytes(8, "little")
        assert length(bytes(content)) == pytest.approx(20.0)

    def test_what_is_skipped_at_the_start_is_no_sound(self):
        """An encoder needs a few milliseconds to get going."""
        content = bytearray(opus.encode(b"c", b"a", 480 * 1_000))
        at = content.index(b"OpusHead") + 10
        content[at : at + 2] = (4_800).to_bytes(2, "little")
        assert length(bytes(content)) == pytest.approx(19.9)

    def test_one_without_sound_is_unknown(self):
        """A stream of pictures, or heads alone."""
        content = opus.encode(b"c", b"a", 480 * 10)
        assert length(content.replace(b"OpusHead", b"TheoraHe")) is None
        assert length(content[:100]) is None


class TestMp4:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"fragments": 1},
            {"fragments": 10},
            {"fragments": 10, "default": "fragment"},
            {"fragments": 10, "default": "track"},
            {"fragments": 10, "header": 1_000},
        ],
    )
    def test_fragments_are_added_whatever_the_header_says(self, options):
        """It was written before they were known."""
        assert length(m4a(1_024 * 1_000, **options)) == pytest.approx(1_024 * 1_000 / RATE, abs=0.001)

    def test_one_without_any_length_is_unknown(self):
        """A header alone."""
        assert length(m4a(0, fragments=1)) is None
        assert length(m4a(1_024)[:16]) is None


class TestWebm:
    @pytest.mark.parametrize("streamed", [False, True])
    def test_the_blocks_tell_where_the_header_does_not(self, streamed):
        """A browser records without knowing when it will end."""
        assert length(webm(12.3, streamed=streamed)) == pytest.approx(12.3)

    def test_one_that_is_cut_ends_with_its_last_block(self):
        """To one of them."""
        content = webm(12.3, streamed=True)
        assert length(content[:-5]) == pytest.approx(12.3, abs=0.03)

    def test_one_without_blocks_is_unknown(self):
        """There is nothing to go by."""
        assert length(webm(0, streamed=True)) is None


@pytest.mark.parametrize(
    "content", [b"", b"RIFF", bytes(4_800), wave.encode_pcm(b"c", b"a", 24_000), b"\x89PNG\r\n\x1a\n"]
)
def test_what_has_no_header_is_of_unknown_length(content):
    """Bare samples are of any rate."""
    assert length(content) is None


FILES = [
    wav(0.1),
    rf64(0.1),
    mpeg.encode_mp3(b"", b"", 5_760),
    mpeg.encode_aac(b"", b"", 5_760),
    streamed_flac(5_760),
    opus.encode(b"", b"", 4_800),
    m4a(10_240, fragments=2),
    m4a(10_240),
    webm(1.1, streamed=True),
]


@given(st.sampled_from(FILES), st.data())
def test_no_broken_file_raises(content, data):
    """It is unknown, or as long as what is left; a page is no place for its faults."""
    at = data.draw(st.integers(0, len(content)))
    changed = content[:at] + data.draw(st.binary(max_size=8)) + content[at + data.draw(st.integers(0, 8)) :]
    changed = changed[: data.draw(st.integers(0, len(changed)))]
    seconds = length(changed)
    assert seconds is None or seconds >= 0
    for format in ("aac", "flac", "m4a", "mp3", "ogg", "wav", "webm"):
        duration_seconds(changed, format)
