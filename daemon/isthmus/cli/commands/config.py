"""`isthmus config`."""

from cyclopts import App

from isthmus.cli.commands.options import ConfigDir, Output
from isthmus.cli.exits import CONFIG

__all__ = ["config"]

config = App(name="config", help="Check the configuration.")


@config.command(name="check")
def config_check(*, config: ConfigDir = None, output: Output = "table") -> int:
    """Check the configuration: every problem at once, with file, line and remedy; exit 78 if any.

    Example: isthmus config check --config /etc/isthmus
    """
    from isthmus.cli.checking import check_config

    return CONFIG if check_config(config, output) else 0
