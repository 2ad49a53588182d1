"""`isthmus db`."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from isthmus.cli.commands.asking import ask_or_look, ask_or_tell
from isthmus.cli.commands.options import ConfigDir, Offline, Output
from isthmus.cli.exits import DATA, PROBLEMS, USAGE, Leave
from isthmus.cli.output import say, show_one

__all__ = ["db"]

db = App(name="db", help="The database: check, backup, restore.")

PATIENCE_S = 900.0


@db.command(name="check")
def db_check(
    *,
    full: Annotated[bool, Parameter(negative=(), help="Compare every index with its table as well.")] = False,
    offline: Offline = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> int:
    """Look at the whole file: what SQLite says of it, and whether anything refers to nothing; exit 1 if so.

    Example: isthmus db check --full
    """
    found: Any = ask_or_look(
        f"/v1/db/check?full={str(full).lower()}",
        lambda desk: desk.check(full=full),
        config,
        offline=offline,
        patience_s=PATIENCE_S,
    )
    problems = found["problems"] if isinstance(found, dict) else found.problems
    if output != "table":
        show_one(found, output)
    else:
        print("\n".join(problems) or "the file is sound")
    return PROBLEMS if problems else 0


@db.command(name="backup")
def db_backup(
    *,
    to: Annotated[Path | None, Parameter(help="A file that does not exist; else among its own.")] = None,
    offline: Offline = False,
    config: ConfigDir = None,
    output: Output = "table",
) -> None:
    """Back the database up while the daemon works; the copy is opened, checked, and its hash written.

    Example: isthmus db backup --to /srv/backups/isthmus-friday.db
    """
    target = None if to is None else to.absolute()
    done: Any = ask_or_tell(
        "/v1/db/backup",
        {"to": None if target is None else str(target)},
        lambda desk: desk.back_up(target, by=getpass.getuser()),
        config,
        offline=offline,
        patience_s=PATIENCE_S,
    )
    copy = msgspec.to_builtins(done)
    if output != "table":
        show_one(copy, output)
    else:
        print(f"{copy['file']}: {copy['bytes']} bytes, {copy['events']} events, sha256 {copy['sha256']}")


@db.command(name="restore")
def db_restore(
    backup: Path,
    *,
    into: Annotated[Path, Parameter(help="A state directory that has no database.")],
    output: Output = "table",
) -> None:
    """Make a state directory of a backup, after its hash and the file itself were checked.

    It never goes over a database that is there. A daemon that is started on an older state than this machine
    has seen refuses with exit code 65.

    Example: isthmus db restore /srv/backups/isthmus-friday.db --into /var/lib/isthmus-restored
    """
    from isthmus.store.copies import put_back
    from isthmus.store.errors import SchemaTooNew, StoreDamaged

    try:
        copy = put_back(backup, into, datetime.now(UTC))
    except FileExistsError as error:
        raise Leave(USAGE, f"{error.args[0]} exists; restore into a directory without a database") from error
    except FileNotFoundError as error:
        raise Leave(USAGE, f"{error.filename}: no such file") from error
    except (StoreDamaged, SchemaTooNew) as error:
        raise Leave(DATA, str(error)) from error
    if output != "table":
        show_one(copy, output)
        return
    print(f"{into}: {copy.events} events of {copy.made_at:%Y-%m-%d %H:%M}, schema {copy.schema}")
    say("next: stop the daemon, set state_dir to it, and look with: isthmus audit verify --offline")
