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
        api = Api(
            self.books,
            token=lambda: str(self.memory.get("token", TOKEN)),
            number=lambda: next(self._requests),
            refuses=self._refuses,
        )
        return [Route("/{path:path}", api.answer, methods=["GET", "POST", "PUT", "DELETE"])]

    def credentials(self) -> dict[str, Any]:
        return {
            "base_url": f"{self.base_url}/api/v1",
            "token": self.memory.get("token", TOKEN),
            "billing_milestones": True,
        }

    def acts(self) -> dict[str, Callable[..., Any]]:
        mine = (self.use_up_rate_limit, self.revoke_token)
        return {**self._acts.vocabulary(), **{act.__name__: act for act in mine}}

    def use_up_rate_limit(self, calls: int = 1, endpoint: str | None = None) -> dict[str, Any]:
        """Refuse that many calls with 429 and no further word; endpoint is one with a limit of its own, such
        as GET workspaces, and without it all calls are refused."""
        refused: dict[str, int] = self.memory.setdefault("refuse", {})
        refused[endpoint or "*"] = refused.get(endpoint or "*", 0) + calls
        return refused

    def revoke_token(self) -> dict[str, Any]:
        """Delete the token of the service user; its credentials then show the new one."""
        self.memory["token"] = f"simulated-kantata-token-{self.next_id('token')}"
        return {"token": self.memory["token"]}

    def _refuses(self, method: str, place: str) -> bool:
        refused: dict[str, int] = self.memory.get("refuse", {})
        for name in (f"{method} {place}", "*"):
            if refused.get(name, 0) > 0:
                refused[name] -= 1
                return True
        return False
