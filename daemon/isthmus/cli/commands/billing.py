"""`isthmus billing`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from isthmus.cli.commands.asking import ask_or_look
from isthmus.cli.commands.options import ConfigDir, Offline, Output

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


@billing.command(name="explain")
def billing_explain(
    key: Annotated[
        str,
        Parameter(help="A charge, time entry, expense, milestone or invoice, by any system's id."),
    ],
    *,
    offline: Offline = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> None:
    """Say why something is billed as it is, or not yet: terms, rate, caps, splits, periods, holds.

    Example: isthmus billing explain psa:77
    """
    from isthmus.cli.explaining import print_explanations

    told = ask_or_look(f"/v1/billing/explain/{key}", lambda desk: desk.explain(key), config, offline=offline)
    print_explanations(told, output)
