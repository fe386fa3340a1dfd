"""The hand-written files of generated projects, and how names are put into them.

string.Template with another mark: make, Tcl and C++ keep the dollar, the percent sign and the brace, and a template
reads like the file that it becomes. No conditions or loops: what varies by more than a word is text that Python makes.
"""

from __future__ import annotations

import string
from importlib import resources


class _Template(string.Template):
    delimiter = "@@"  # @@{name}


def template(name: str) -> str:
    """Return a file of the folder, as it is."""
    return (resources.files("hexit.hls") / "templates" / name).read_text(encoding="utf-8")


def fill(name: str, /, **values: str) -> str:
    """Return a file of the folder with every @@{name} replaced; KeyError for one that is not given."""
    return _Template(template(name)).substitute(values)
