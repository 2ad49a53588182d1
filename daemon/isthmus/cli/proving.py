"""`isthmus audit verify`: the proof of the books, and what is wrong with them."""

from pathlib import Path

import msgspec

from isthmus.cli.commands.asking import ask_or_look
from isthmus.cli.exits import PROBLEMS
from isthmus.cli.output import Format, show, show_one
from isthmus.store.proof import Verdict

__all__ = ["print_verdict"]

PATIENCE_S = 900.0
"""A daemon proves a million events in some seconds."""


def print_verdict(config: Path | None, *, offline: bool, output: Format) -> int:
    """Prove, print; 1 when anything is not as it was."""
    answer = ask_or_look(
        "/v1/audit/verify", lambda desk: desk.verify(), config, offline=offline, patience_s=PATIENCE_S
    )
    verdict = answer if isinstance(answer, Verdict) else msgspec.convert(answer, Verdict)
    if output != "table":
        show_one(verdict, output)
    else:
        if verdict.findings:
            show(verdict.findings, ["book", "row", "what", "detail"], output)
            print()
        state = (
            "the books are whole" if verdict.whole else f"{len(verdict.findings)} rows are not as they were"
        )
        print(
            f"{state}: {verdict.acts} acts, {verdict.events} events, {verdict.receipts} receipts, "
            f"{verdict.anchors} anchors; {verdict.unsealed} events are not sealed yet"
        )
    return 0 if verdict.whole else PROBLEMS
