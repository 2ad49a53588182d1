"""How a command asks: the running daemon, or the store of one that does not run."""

from pathlib import Path
from typing import Any

__all__ = ["ask", "ask_or_look", "ask_or_tell", "offline_ask"]


def ask(
    method: str,
    path: str,
    config: Path | None,
    *,
    order: dict[str, Any] | None = None,
    patience_s: float = 30.0,
    **params: Any,
) -> Any:
    """One question to the running daemon, which may take ``patience_s`` seconds to answer."""
    import trio

    from isthmus.cli.client import connected

    async def main() -> Any:
        async with connected(config, patience_s=patience_s) as client:
            if method == "GET":
                return await client.get(path, **params)
            return await client.post(path, order, **params)

    return trio.run(main)


def offline_ask(config: Path | None, question: Any) -> Any:
    """One question to the store itself."""
    import trio

    from isthmus.cli.client import ask_store

    return trio.run(ask_store, config, question)


def ask_or_look(
    path: str, question: Any, config: Path | None, *, offline: bool, patience_s: float = 30.0
) -> Any:
    """The running daemon's answer to a GET, or, where none runs or ``offline`` is set, the store's own."""
    return _or_else(lambda: ask("GET", path, config, patience_s=patience_s), question, config, offline)


def ask_or_tell(
    path: str,
    order: dict[str, Any],
    act: Any,
    config: Path | None,
    *,
    offline: bool,
    patience_s: float = 30.0,
) -> Any:
    """The same for an order."""
    return _or_else(
        lambda: ask("POST", path, config, order=order, patience_s=patience_s), act, config, offline
    )


def _or_else(online: Any, question: Any, config: Path | None, offline: bool) -> Any:
    from isthmus.cli.exits import UNREACHABLE, Leave

    if not offline:
        try:
            return online()
        except Leave as leave:
            if leave.code != UNREACHABLE:
                raise
    return offline_ask(config, question)
