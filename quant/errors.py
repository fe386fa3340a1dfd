"""The two errors that a user can cause, each of them readable in one glance."""

from __future__ import annotations


class ConfigError(ValueError):
    """User input that breaks a rule, in the form ``where = value: requirement. What to do.``

    >>> str(ConfigError("--bits", 9, "must be 2..8 or 16", "Try --bits 8"))
    '--bits = 9: must be 2..8 or 16. Try --bits 8.'
    """

    def __init__(self, where: str, value: object, requirement: str, remedy: str) -> None:
        """Keep the four parts and join them into the message (control characters and line breaks escaped)."""
        self.where, self.value, self.requirement, self.remedy = where, value, requirement, remedy
        shown = value if isinstance(value, str) else repr(value)
        shown = shown if len(shown) <= 120 else shown[:117] + "..."
        line = f"{where} = {shown}: {requirement.removesuffix('.')}. {remedy.removesuffix('.')}."
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line))


class DoesNotFit(ValueError):  # noqa: N818 - the sentence that a reader of a report expects
    """A design that needs more of a part than it has: what, by how much, and which levers would help."""
