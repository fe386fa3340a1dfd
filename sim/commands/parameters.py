"""A command line made from a record of options: its flags, types, defaults, help and groups.

    @takes(Job)
    def run(options: Given[Job], listing: ...) -> None: ...

gives a function that typer turns into a command with every option of the record, and then those that the function
declares itself. `options.build()` makes the record of what was given; a listing has no need to.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import typer

from hexit.quant.errors import ConfigError
from hexit.quant.options import Option, build, options_of

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Given(Generic[Record]):
    """What stood on a command line: the values of its options by name, defaults left out."""

    record: type[Record]
    named: Mapping[str, Any]
    command: str

    def build(self) -> Record:
        """Return the record; ConfigError for a missing or an illegal value."""
        positional = [one for one in options_of(self.record) if one.example]
        missing = " ".join(one.name.upper() for one in positional if one.name not in self.named)
        if missing:
            example = " ".join(one.example for one in positional)
            raise ConfigError(missing, "(missing)", "is required", f"Try {self.command} {example}")
        return build(self.record, self.named, self.command)


def takes(record: type[Record]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that makes a command: the function's first argument becomes what was `Given` of the record."""
    options = options_of(record)

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]

        def command(context: typer.Context, **words: Any) -> None:
            named = {one.name: words[one.name] for one in options if _was_given(context, one.name)}
            given = Given(record=record, named=named, command=context.command_path)
            function(given, **{parameter.name: words[parameter.name] for parameter in own})

        keyword = inspect.Parameter.KEYWORD_ONLY
        asked = [inspect.Parameter("context", keyword, annotation=typer.Context), *map(_parameter, options)]
        signature = inspect.Signature([*asked, *(parameter.replace(kind=keyword) for parameter in own)])
        command.__signature__ = signature  # type: ignore[attr-defined]  # what typer reads
        command.__name__, command.__doc__ = function.__name__, function.__doc__
        return command

    return decorate


def _was_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _parameter(one: Option) -> inspect.Parameter:
    """Return the parameter that typer turns into the option; choices are texts there, the record checks them."""
    kind, default = one.kind, inspect.Parameter.empty if one.required else one.default
    if one.choices:
        kind = str | None if default is None else str
    elif one.plain_kind == tuple[str, ...]:
        kind = list[str] | None
    if one.example:
        kind, default, info = kind | None, None, typer.Argument(help=one.help)
    else:
        flag = f"{one.flag}/{one.off_flag}" if one.off_flag else one.flag
        info = typer.Option(flag, help=one.help, rich_help_panel=one.panel or None, metavar=one.metavar or None)
    return inspect.Parameter(
        one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )
