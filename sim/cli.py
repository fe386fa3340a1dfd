"""The `hexit` command: subcommands, and one clear line for every error that a user can cause."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from rich.console import Console

from hexit.quant.errors import ConfigError, DoesNotFit
from hexit.sim.commands.gemm import gemm
from hexit.sim.commands.hls import hls
from hexit.sim.commands.reference import reference
from hexit.sim.commands.run import run
from hexit.sim.commands.train import train
from hexit.sim.commands.validate import validate

USER_ERROR = 2  # exit code of every error that another command line would avoid
INTERRUPTED = 130  # shell convention: 128 + SIGINT; what typer returns for one

app = typer.Typer(
    name="hexit",
    help="Co-design early-exit BERT and ALBERT with the FPGA that runs them: train, quantise, decide, simulate, build.",
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(hls)
app.command()(gemm)
app.command()(train)
app.command()(reference)
app.command()(validate)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code: 0 done, 2 wrong input, 130 interrupted."""
    stderr = Console(stderr=True, highlight=False, soft_wrap=True)
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        code = app(args=words, prog_name="hexit", standalone_mode=False)
    except (ConfigError, DoesNotFit) as error:
        stderr.print(f"{type(error).__name__}: {error}", style="bold red", markup=False)
        code = USER_ERROR
    except typer.TyperException as error:
        line = " ".join(error.format_message().split())
        stderr.print(f"ConfigError: {line}", style="bold red", markup=False)
        code = USER_ERROR
    except OSError as error:  # a full disk, a path too long: places that nobody checks one by one
        place = f" = {error.filename}" if error.filename else ""
        stderr.print(f"ConfigError: file{place}: {error.strerror or error}", style="bold red", markup=False)
        code = USER_ERROR
    if code == INTERRUPTED:
        stderr.print("interrupted; nothing half-written, a repeated command resumes", markup=False)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
