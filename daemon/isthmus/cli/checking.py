"""`isthmus config check`."""

from pathlib import Path

from isthmus.cli.client import config_directory
from isthmus.cli.output import Format, say, show
from isthmus.config import ConfigError, Secrets, check, render
from isthmus.config.load import gather
from isthmus.process.registry import PROCESSES
from isthmus.runtime.plugins import load_plugins


def check_config(config: Path | None, output: Format) -> bool:
    """Print every problem and warning; True when there is an error."""
    directory = config_directory(config)
    plugins: list[str] = []
    try:
        _, found = gather(directory, processes=PROCESSES)
        plugins = list(found.daemon.plugins)
        problems = check(
            directory,
            processes=PROCESSES,
            connectors=load_plugins(plugins).connectors,
            secrets=Secrets(found.daemon.secrets_dir),
        )
    except ConfigError as error:
        problems = list(error.problems)
    if output == "table":
        if problems:
            print(render(problems))
        else:
            say(f"{directory}: no problems")
    else:
        show(problems, [], output)
    return any(problem.severity == "error" for problem in problems)
