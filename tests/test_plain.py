"""Text from outside, made fit for a terminal or a log."""

import doctest

import pytest

from imagepipe import budget
from imagepipe import plain as plain_module
from imagepipe.errors import NeedsMemory
from imagepipe.plain import plain
from imagepipe.sources import addresses, apart, folders, matching


@pytest.mark.parametrize("module", [plain_module, addresses, apart, folders, matching], ids=lambda it: it.__name__)
def test_the_examples_in_the_documentation_are_true(module):
    result = doctest.testmod(module)

    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(("text", "shown"), [
    ("caf\u00e9 \u65e5\u672c.jpg", "caf\u00e9 \u65e5\u672c.jpg"),
    ("\x1b[2J\x1b]8;;http://evil\x07click", r"\x1b[2J\x1b]8;;http://evil\x07click"),
    ("two\nlines\r\n", r"two\nlines\r\n"),
    ("nel\x85ls\u2028ps\u2029", r"nel\x85ls\u2028ps\u2029"),
    ("a\u202egpj.exe", r"a\u202egpj.exe"),
    ("zero\u200bwidth\u2060\ufeff", r"zero\u200bwidth\u2060\ufeff"),
    ("c1\x9b31m", r"c1\x9b31m"),
    ("nul\0 tab\t del\x7f", r"nul\x00 tab\t del\x7f"),
    ("caf\udce9.jpg", r"caf\xe9.jpg"),
    ("half\ud800", r"half\ud800"),
    ("wide\u00a0space\u3000", "wide\u00a0space\u3000"),
    ("tag\U000e0041", r"tag\U000e0041"),
    ("", ""),
])
def test_what_does_not_print_is_escaped(text, shown):
    assert plain(text) == shown


def test_whatever_there_is_becomes_one_line_that_every_terminal_takes():
    text = "".join(map(chr, (*range(0x3000), *range(0xD800, 0xE010), *range(0xFFF0, 0x10010), 0x10FFFF)))

    shown = plain(text)

    assert len(shown.splitlines()) == 1
    shown.encode("utf-8")
    assert not any(ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in shown)


def test_memory_is_there_for_the_asking_where_nobody_keeps_it():
    budget.reserve(1 << 60)


def test_whoever_keeps_memory_is_asked():
    asked = []

    def keeper(size: int) -> None:
        asked.append(size)
        if size > 100:
            raise NeedsMemory("too much")

    budget.set_keeper(keeper)
    try:
        budget.reserve(100)
        with pytest.raises(NeedsMemory):
            budget.reserve(101)
    finally:
        budget.set_keeper(None)

    assert asked == [100, 101]
