"""`isthmus billing`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

__all__ = ["billing"]

billing = App(name="billing", help="What the billing rules do.")


@billing.command(name="preview")
def billing_preview(
    facts: Annotated[Path, Parameter(help="A file of canonical events, one JSON object per line.")],
    *,
    output: Annotated[Literal["jsonl", "table"], Parameter(name=["--output", "-o"])] = "table",
) -> int:
    """Try a contract before it goes live: what the billing rules derive from a file of facts.

    Example: isthmus billing preview facts.jsonl --output table
    """
    from isthmus.cli.previewing import preview_file

    return preview_file(facts, output)
