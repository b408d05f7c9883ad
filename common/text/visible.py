"""What of somebody else's text is shown: all but what a terminal would obey and XML refuses."""

from __future__ import annotations

import unicodedata

# Controls, directions, halves of a character, what has no meaning, and the two odd ends of a line.
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def visible(text: str, keep: str = "") -> str:
    """The text with a replacement character for each that is not seen itself.

    Args:
        keep: what stays all the same, such as line ends.
    """
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if c not in keep and unicodedata.category(c) in _UNSEEN else c
        for c in text
    )
