"""How many lines a table's cells take."""

from pxt_assets.assets.page.heights import line_counts


def test_words_wrap_where_the_column_ends():
    """Of one column the whole width is there, but for two characters of its own."""
    assert line_counts([["c", "one two three"]], 14) == [1]
    assert line_counts([["c", "one two three"]], 13) == [2]
    assert line_counts([["c", "one two three", "four"]], 6) == [3]


def test_room_goes_to_the_longer_texts():
    """As in a browser: a short column is as wide as its text."""
    assert line_counts([["id", "T-1"], ["c", "one two three"]], 19) == [1, 1]
    assert line_counts([["a", "aa bb cc dd"], ["b", "ee ff gg hh"]], 13) == [2, 2]


def test_the_head_makes_its_column_wide_and_is_not_counted():
    """It may wrap as it likes."""
    assert line_counts([["a head of many words", "x"]], 5) == [1]
    assert line_counts([["heading", "one two"]], 3) == [1]


def test_what_is_not_shown_takes_no_room():
    """Entities are one character, marks and joiners none; a word may be broken where its break is."""
    assert line_counts([["c", "**a&#45;\u2060b** c"]], 6) == [1]
    assert line_counts([["c", "abcd\u200befgh"]], 5) == [2]
    assert line_counts([["c", "![png](data:image/webp;base64,AAAA) word"]], 9) == [2]


def test_there_may_be_nothing():
    """No columns, no rows, no text."""
    assert line_counts([], 28) == []
    assert line_counts([["c"], ["d"]], 28) == [0, 0]
    assert line_counts([["c", ""]], 28) == [0]
