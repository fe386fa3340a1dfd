"""Names and texts of users, made harmless for generated files.

    identifier      any text  ->  [a-z][a-z0-9_]*, no word of C++, Verilog, Tcl, make or a shell, in any file system
    comment_text    any text  ->  one line of ASCII that neither ends a comment nor continues one
    markdown_text   any text  ->  one line that Markdown and HTML show as it is

An identifier is `PREFIX`, which starts no word of any of these languages, and what the text leaves of itself. Where
that is not the text itself, eight digits of its SHA-256 follow, so that texts that look alike keep apart. A text that
is an identifier already stays what it is.

Not covered: spellings that Unicode calls equivalent are different texts here; `sst2` and `hexit_sst2` are one name.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

PREFIX = "hexit_"
MAX_STEM_LENGTH = 32  # characters; vendor tools build long paths out of a project's name
MAX_TEXT_LENGTH = 200  # characters of a comment or of a cell
DIGEST_DIGITS = 8  # hexadecimal, 32 bits: two of 1,000 names share them with a chance of 1 in 8,600
MAX_LENGTH = len(PREFIX) + MAX_STEM_LENGTH + 1 + DIGEST_DIGITS

_PLAIN = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")  # no double underscore: C++ reserves it
_ENDS_LIKE_A_DIGEST = re.compile(rf"_[0-9a-f]{{{DIGEST_DIGITS}}}$")
_TEMPLATE_WORDS = ("myproject", "mystamp")  # hls4ml's writer replaces them in lines that hold the name already
_MARKDOWN = re.compile(r"([\\`*_\[\]|~$&<>])")  # what counts inside a line; no text of ours begins one


def identifier(text: str) -> str:
    """Return a name for files, functions, modules and make targets; equal texts give equal names."""
    if len(text) <= MAX_LENGTH and text.startswith(PREFIX) and _harmless(text.removeprefix(PREFIX)):
        return text
    if len(text) <= MAX_STEM_LENGTH and _harmless(text) and not _ENDS_LIKE_A_DIGEST.search(text):
        return PREFIX + text
    folded = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    stem = re.sub(r"[^a-z0-9]+", "_", folded).strip("_")[:MAX_STEM_LENGTH].strip("_")
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_DIGITS]
    return PREFIX + (f"{stem}_{digest}" if _harmless(stem) else digest)


def _harmless(stem: str) -> bool:
    return _PLAIN.fullmatch(stem) is not None and not any(word in stem for word in _TEMPLATE_WORDS)


def comment_text(text: str) -> str:
    """Return `text` for one line of a comment of C++, SystemVerilog, Tcl or make.

    What is not printable ASCII is written as (U+00E9), and so is the backslash, which would join the next line to the
    comment; ends and beginnings of comments and trigraphs are drawn apart.
    """
    shown = "".join(c if " " <= c <= "~" and c != "\\" else f"(U+{ord(c):04X})" for c in text)
    apart = re.sub(r"(?<=\*)(?=/)|(?<=/)(?=[*/])|(?<=\?)(?=\?)", " ", shown)
    return _shortened(apart)


def markdown_text(text: str) -> str:
    """Return `text` for a paragraph or a table's cell of Markdown; what cannot be printed is written as (U+000A)."""
    shown = "".join(c if c.isprintable() else f"(U+{ord(c):04X})" for c in _shortened(text))
    return _MARKDOWN.sub(_escaped, shown)


def _escaped(found: re.Match[str]) -> str:
    """A backslash before a mark of Markdown; a reference for what HTML reads first."""
    references = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
    return references.get(found[1], f"\\{found[1]}")


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT_LENGTH else text[: MAX_TEXT_LENGTH - 3] + "..."
