"""Asks the running daemon over its admin socket, or, offline, the store itself under the daemon's lock."""

import os
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from isthmus.cli.exits import CONFIG, PROBLEMS, UNREACHABLE, Leave
from isthmus.ops.client import AdminRefused, AdminUnreachable, Client
from isthmus.ops.client import connected as admin_client

T = TypeVar("T")

DEFAULT_CONFIG = Path("/etc/isthmus")


def config_directory(given: Path | None) -> Path:
    """``--config``, else ``$ISTHMUS_CONFIG``, else /etc/isthmus."""
    return given or Path(os.environ.get("ISTHMUS_CONFIG", DEFAULT_CONFIG))


def places(config: Path) -> tuple[Path, Path]:
    """State directory and admin socket of a configuration, without checking the rest of it."""
    file = config / "isthmus.toml"
    try:
        daemon = tomllib.loads(file.read_text())["daemon"]
        state_dir = config / daemon["state_dir"]
        return state_dir, config / daemon.get("admin_socket", state_dir / "admin.sock")
    except FileNotFoundError:
        raise Leave(CONFIG, f"{file}: no such file; name the directory with --config") from None
    except (tomllib.TOMLDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise Leave(CONFIG, f"{file}: cannot be read ({error}); see: isthmus config check") from None


@asynccontextmanager
async def connected(config: Path | None) -> AsyncIterator[Client]:
    """A client of the daemon that runs with this configuration.

    Raises:
        Leave: there is no socket, or nobody answers on it (exit 69); or the daemon says no (exit 1).
    """
    _, socket = places(config_directory(config))
    if not socket.exists():
        raise Leave(UNREACHABLE, f"no daemon answers on {socket}; see: systemctl status isthmus")
    async with admin_client(socket) as client:
        try:
            yield client
        except AdminUnreachable as error:
            raise Leave(UNREACHABLE, str(error)) from error
        except AdminRefused as error:
            raise Leave(PROBLEMS, str(error)) from error


async def ask_store(config: Path | None, question: Callable[[Any], Awaitable[T]]) -> T:
    """Put a question to the store of a daemon that does not run.

    Args:
        question: Takes a `isthmus.ops.desk.Desk`.

    Raises:
        StoreLocked: it runs; ask it instead.
        NotFound: as the question says.
    """
    from isthmus.ops.desk import Desk, NotFound
    from isthmus.store.open import open_store

    state_dir, _ = places(config_directory(config))
    if not state_dir.exists():
        raise Leave(PROBLEMS, f"{state_dir}: nothing was ever stored here")
    async with open_store(state_dir, holder="isthmus --offline") as store:
        try:
            return await question(Desk(store, now=lambda: datetime.now(UTC)))
        except NotFound as error:
            raise Leave(PROBLEMS, str(error)) from error
