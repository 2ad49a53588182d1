"""`isthmus config check`."""

from pathlib import Path

from isthmus.app.run import quarantine
from isthmus.cli.output import Format, say, show
from isthmus.cli.places import config_directory
from isthmus.config import Secrets, check, render
from isthmus.config.load import gather
from isthmus.process.registry import PROCESSES
from isthmus.runtime.plugins import load_plugins


def check_config(config: Path | None, output: Format) -> bool:
    """Print every problem and warning; True when there is an error."""
    directory = config_directory(config)
    _, found = gather(directory, processes=PROCESSES)
    plugins = load_plugins(found.daemon.plugins)
    problems = check(
        directory,
        processes=PROCESSES,
        connectors=plugins.connectors,
        secrets=Secrets(found.daemon.secrets_dir),
    )
    for line in quarantine(found.daemon.plugins, plugins):
        say(line)
    if output == "table":
        if problems:
            print(render(problems))
        else:
            say(f"{directory}: no problems")
    else:
        show(problems, [], output)
    return any(problem.severity == "error" for problem in problems)
