"""`isthmus connector`."""

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from isthmus.cli.commands.options import ConfigDir, Output

__all__ = ["connector"]

connector = App(name="connector", help="The systems: what is installed, needed, reachable.")

Instance = Annotated[str, Parameter(help="The name under [connectors] in the configuration.")]


@connector.command(name="list")
def connector_list(*, config: ConfigDir = None, output: Output = "table") -> None:
    """List the installed plugins: version, whether they may run, who uses them, or why they are not used.

    Example: isthmus connector list
    """
    from isthmus.cli.cataloguing import list_connectors

    list_connectors(config, output)


@connector.command(name="info")
def connector_info(
    name: Annotated[str, Parameter(help="A plugin (netsuite), or an instance of the configuration.")],
    *,
    config: ConfigDir = None,
    output: Output = "table",
) -> None:
    """Tell what a connector offers and needs: streams, kinds, delivery classes, every setting.

    A plugin is opened against its own simulator, an instance with its settings; neither calls a peer.

    Example: isthmus connector info netsuite
    """
    from isthmus.cli.cataloguing import tell_connector

    tell_connector(config, name, output)


@connector.command(name="check")
def connector_check(name: Instance, *, config: ConfigDir = None, output: Output = "table") -> int:
    """Log in to a system and look: permissions, clock, quota, custom fields. Nothing is changed.

    Exit 0 all well, 1 something was found, 75 the peer does not answer, 78 the configuration is wrong.

    Example: isthmus connector check netsuite-us
    """
    from isthmus.cli.probing import check_connector

    return check_connector(config, name, output)


@connector.command(name="discover")
def connector_discover(name: Instance, *, config: ConfigDir = None, output: Output = "table") -> None:
    """Ask a system what is there: its streams with their first page, and ids that settings may name.

    Example: isthmus connector discover netsuite-us
    """
    from isthmus.cli.probing import discover_connector

    discover_connector(config, name, output)


@connector.command(name="run")
def connector_run(
    name: Annotated[str, Parameter(help="A plugin: netsuite.")],
    *,
    fixture: Annotated[Path, Parameter(help="A JSON file: recorded exchanges, or a simulator's state.")],
    output: Output = "table",
) -> int:
    """Run one connector alone against a fixture: no daemon, no network. Prints its events and receipts.

    Exit 0 all well, 1 something was refused or failed, 65 the fixture is wrong, 78 its settings are.

    Example: isthmus connector run kantata --fixture recordings/time.json --output jsonl
    """
    from isthmus.cli.playing import play_fixture

    return play_fixture(name, fixture, output)
