"""Makes control characters visible, so that no text steers the terminal or page that shows it.

Tabs and newlines are text, and so are joiners and direction marks, which scripts need.
"""

from __future__ import annotations

__all__ = ["code_point", "visible"]


def code_point(character: str) -> str:
    """Name a character by its code point."""
    return f"‹U+{ord(character):04X}›"


# Control characters have pictures, from U+2400 on; those of ISO 8859 have none.
_VISIBLE: dict[int, int | str] = {
    code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"
}
_VISIBLE |= dict.fromkeys(range(0x7F, 0xA0), 0xFFFD)
# No encoding holds lone surrogates.
_VISIBLE |= dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)
# Embeddings, overrides and isolates turn the order of whatever follows, beyond the text's end.
_VISIBLE |= {
    code: code_point(chr(code)) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def visible(text: str) -> str:
    """The text with control characters replaced; any other text is returned as it is."""
    return text.translate(_VISIBLE)
