"""Where a configuration keeps its state and its admin socket; imports next to nothing, so it is quick."""

import fcntl
import os
import tomllib
from pathlib import Path
from typing import Any

from isthmus.cli.exits import CONFIG, FORBIDDEN, Leave
from isthmus.store.errors import StoreLocked
from isthmus.store.lock import LOCK_NAME

__all__ = ["config_directory", "places", "refuse_second"]

DEFAULT_CONFIG = Path("/etc/isthmus")


def config_directory(given: Path | None) -> Path:
    """``--config``, else ``$ISTHMUS_CONFIG``, else /etc/isthmus."""
    return given or Path(os.environ.get("ISTHMUS_CONFIG") or DEFAULT_CONFIG)


def places(config: Path) -> tuple[Path, Path]:
    """State directory and admin socket of a configuration, without checking the rest of it.

    Raises:
        Leave: there is no configuration, or it does not say.
    """
    main = config / "isthmus.toml"
    daemon: dict[str, Any] = {}
    for file in [main, *sorted((config / "conf.d").glob("*.toml"))]:
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8-sig")).get("daemon", {})
        except FileNotFoundError:
            raise Leave(CONFIG, f"{file}: no such file; name the directory with --config") from None
        except PermissionError:
            raise Leave(FORBIDDEN, f"{file}: you may not read it") from None
        except (OSError, ValueError) as error:
            raise Leave(CONFIG, f"{file}: cannot be read ({error}); see: isthmus config check") from None
        if isinstance(table, dict):
            daemon = {**table, **daemon}
    state_dir, socket = daemon.get("state_dir"), daemon.get("admin_socket")
    if not isinstance(state_dir, str) or not isinstance(socket, str | None):
        raise Leave(CONFIG, f"{main}: daemon.state_dir is not set; see: isthmus config check")
    return config / state_dir, config / (socket or Path(state_dir) / "admin.sock")


def refuse_second(config: Path) -> None:
    """Say at once that another process works on the state, before anything slow is loaded.

    What decides is the lock that `isthmus.store.open` takes; this only asks, so that the answer is quick.

    Raises:
        StoreLocked: naming the process that holds it.
    """
    try:
        state_dir, _ = places(config)
        lock = state_dir / LOCK_NAME
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except (Leave, OSError):
        return  # whoever opens the store says what is wrong, with all the rest
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip()
        raise StoreLocked(lock, holder or "another process") from None
    finally:
        os.close(descriptor)
