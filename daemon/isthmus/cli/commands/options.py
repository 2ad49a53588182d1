"""The options that many commands share."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from isthmus.cli.output import Format, Sheet

__all__ = ["ConfigDir", "DryRun", "Limit", "Offline", "Output", "Reason", "SheetOutput"]

ConfigDir = Annotated[
    Path | None,
    Parameter(
        name=["--config", "-c"],
        help="Configuration directory; else $ISTHMUS_CONFIG, else /etc/isthmus.",
    ),
]
Output = Annotated[Format, Parameter(name=["--output", "-o"], help="table, json or jsonl.")]
SheetOutput = Annotated[Sheet, Parameter(name=["--output", "-o"], help="table, csv, json or jsonl.")]
Offline = Annotated[
    bool, Parameter(negative=(), help="Read the store of a daemon that does not run, under its lock.")
]
Limit = Annotated[int, Parameter(help="At most so many rows.")]
DryRun = Annotated[bool, Parameter(negative=(), help="Show what would be done; exit 1 if anything would.")]
Reason = Annotated[str, Parameter(help="Why; it lands in the audit trail.")]
