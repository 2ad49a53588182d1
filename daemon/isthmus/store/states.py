"""What a process remembers: JSON under a key, written with the facts derived from it and its position."""

import json
from collections.abc import Iterable, Mapping

from isthmus.store.face import Tx


def get(tx: Tx, process: str, key: str) -> str | None:
    """The JSON kept under ``key``."""
    row = tx.one("state_get", process=process, key=key)
    return None if row is None else str(row[0])


def get_many(tx: Tx, process: str, keys: Iterable[str]) -> dict[str, str]:
    """What is kept under these keys; a key without anything is missing."""
    return dict(tx.all("states_get", process=process, keys=json.dumps(list(keys))))


def put(tx: Tx, process: str, key: str, state: str) -> None:
    put_many(tx, process, {key: state})


def put_many(tx: Tx, process: str, states: Mapping[str, str]) -> None:
    """Keep JSON under each key, in place of what was there."""
    tx.many("state_put", [(process, key, state) for key, state in states.items()])


def page(tx: Tx, process: str, *, after: str = "", limit: int = 500) -> list[tuple[str, str]]:
    """Keys and their JSON, by key, from behind ``after``."""
    return [(key, state) for key, state in tx.all("states_page", process=process, after=after, limit=limit)]


def drop(tx: Tx, process: str, key: str) -> bool:
    """Forget one key; False when nothing was kept under it."""
    return tx.run("state_drop", process=process, key=key) == 1


def drop_all(tx: Tx, process: str) -> int:
    """Forget all of it, before the process runs from the start of the log again; how many keys that were."""
    return tx.run("states_drop", process=process)
