"""`isthmus audit`."""

from cyclopts import App

from isthmus.cli.commands.asking import offline_ask
from isthmus.cli.commands.options import ConfigDir
from isthmus.cli.exits import PROBLEMS

__all__ = ["audit"]

audit = App(name="audit", help="Who did what, and whether the trail is whole.")


@audit.command(name="verify")
def audit_verify(*, config: ConfigDir = None) -> int:
    """Walk the audit trail of a daemon that does not run; names the first row that does not fit.

    Example: isthmus audit verify --config /etc/isthmus
    """
    broken = offline_ask(config, lambda desk: desk.verify())
    print("the audit trail is whole" if broken is None else f"the audit trail breaks at row {broken}")
    return 0 if broken is None else PROBLEMS
