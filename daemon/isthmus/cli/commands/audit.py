"""`isthmus audit`."""

from typing import Annotated

from cyclopts import App, Parameter

from isthmus.cli.commands.options import ConfigDir, Offline, Output

__all__ = ["audit"]

audit = App(name="audit", help="Who did what, and whether the trail is whole.")


@audit.command(name="verify")
def audit_verify(*, offline: Offline = False, config: ConfigDir = None, output: Output = "table") -> int:
    """Prove that no act, event or receipt was changed, removed, added or swapped; exit 1 names what was.

    Example: isthmus audit verify
    """
    from isthmus.cli.proving import print_verdict

    return print_verdict(config, offline=offline, output=output)


@audit.command(name="replay")
def audit_replay(
    *,
    process: Annotated[str | None, Parameter(help="Only this process: billing.")] = None,
    until: Annotated[int | None, Parameter(help="Only facts up to this sequence number.")] = None,
    offline: Offline = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Derive everything again from the log and compare it with what was recorded; exit 1 on a difference.

    It changes nothing and sends nothing. After an update it shows which charges the new rules would have
    made otherwise.

    Example: isthmus audit replay --process billing
    """
    from isthmus.cli.replaying import replay_log

    return replay_log(config, process=process, until=until, offline=offline, output=output)
