"""`isthmus notify`."""

from typing import Any

from cyclopts import App

from isthmus.cli.commands.asking import ask
from isthmus.cli.commands.options import ConfigDir, Output
from isthmus.cli.exits import PROBLEMS
from isthmus.cli.output import show

__all__ = ["notify"]

notify = App(name="notify", help="How owners are told what waits for them.")


@notify.command(name="test")
def notify_test(owner: str, *, config: ConfigDir = None, output: Output = "table") -> int:
    """Send an owner a test message over each channel, and show what the peer answered.

    Exit 1: a channel did not take it. One that had been switched off by the peer and takes it is used again.

    Example: isthmus notify test accounts-receivable
    """
    answers: Any = ask("POST", "/v1/notify/test", config, order={"owner": owner}, patience_s=60.0)
    show(answers, ["channel", "taken", "answer"], output)
    return 0 if all(each["taken"] for each in answers) else PROBLEMS
