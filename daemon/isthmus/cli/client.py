"""Asks the running daemon over its admin socket, or, offline, the store itself under the daemon's lock."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from isthmus.cli.exits import BUG, BUSY, FORBIDDEN, PROBLEMS, UNREACHABLE, Leave
from isthmus.cli.places import config_directory, places
from isthmus.ops.client import AdminBroken, AdminBusy, AdminRefused, AdminUnreachable, Client
from isthmus.ops.client import connected as admin_client
from isthmus.ops.desk import Desk
from isthmus.ops.errors import NotFound, Refused
from isthmus.store.anchors import ANCHORS_NAME
from isthmus.store.open import DATABASE_NAME, open_store

T = TypeVar("T")

__all__ = ["ask_store", "connected"]


@asynccontextmanager
async def connected(config: Path | None, *, patience_s: float = 30.0) -> AsyncIterator[Client]:
    """A client of the daemon that runs with this configuration.

    Raises:
        Leave: nobody answers (exit 69), we may not ask (77), it is busy (75), or it says no (1).
    """
    _, socket = places(config_directory(config))
    _look_at(socket)
    async with admin_client(socket, patience_s=patience_s) as client:
        try:
            yield client
        except AdminUnreachable as error:
            raise Leave(UNREACHABLE, str(error)) from error
        except AdminRefused as error:
            raise Leave(PROBLEMS, str(error)) from error
        except AdminBusy as error:
            raise Leave(BUSY, str(error)) from error
        except AdminBroken as error:
            raise Leave(BUG, str(error)) from error


def _look_at(socket: Path) -> None:
    """Tell a daemon that does not run from one we may not ask."""
    try:
        socket.stat()
    except PermissionError:
        pass
    except OSError:
        raise Leave(UNREACHABLE, f"no daemon answers on {socket}; see: systemctl status isthmus") from None
    if not os.access(socket, os.R_OK | os.W_OK, effective_ids=True):
        raise Leave(FORBIDDEN, f"you may not ask the daemon: {socket} is for its owner and group")


async def ask_store(config: Path | None, question: Callable[[Desk], Awaitable[T]]) -> T:
    """Put a question to the store of a daemon that does not run.

    Raises:
        StoreLocked: it runs; ask it instead.
        Leave: nothing was ever stored there, or there is no such thing (exit 1).
    """
    state_dir, _ = places(config_directory(config))
    if not (state_dir / DATABASE_NAME).exists():
        raise Leave(PROBLEMS, f"{state_dir}: nothing was ever stored here")
    async with open_store(state_dir, holder="isthmus --offline") as store:
        try:
            anchors = state_dir / ANCHORS_NAME
            return await question(Desk(store, now=lambda: datetime.now(UTC), anchors=anchors))
        except (NotFound, Refused) as error:
            raise Leave(PROBLEMS, str(error)) from error
