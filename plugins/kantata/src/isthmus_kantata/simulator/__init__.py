"""A fake Kantata OX: the API as its documentation and its clients have it, on loopback."""

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.routing import BaseRoute, Route

from isthmus.sdk.simulator import Simulator
from isthmus_kantata.simulator.acts import Acts
from isthmus_kantata.simulator.api import Api
from isthmus_kantata.simulator.books import Books

__all__ = ["KantataSimulator"]

TOKEN = "simulated-kantata-token"  # noqa: S105  known to everyone, good on loopback only


class KantataSimulator(Simulator):
    """One account with one service user; everything in it is in the ledger."""

    plugin = "kantata"

    def __init__(self, *, seed: int = 0, now: Callable[[], datetime] | None = None) -> None:
        if now is None:
            super().__init__(seed=seed)
        else:
            super().__init__(seed=seed, now=now)
        self.books = Books(self)
        self.books.me()
        self._acts = Acts(self.books)
        self._requests = itertools.count(1)

    def restore(self, state_file: Path) -> None:
        super().restore(state_file)
        self.books.reindex()

    def routes(self) -> Sequence[BaseRoute]:
        api = Api(self.books, token=TOKEN, number=lambda: next(self._requests))
        return [Route("/{path:path}", api.answer, methods=["GET", "POST", "PUT", "DELETE"])]

    def credentials(self) -> dict[str, Any]:
        return {"base_url": f"{self.base_url}/api/v1", "token": TOKEN}

    def acts(self) -> dict[str, Callable[..., Any]]:
        return self._acts.vocabulary()
