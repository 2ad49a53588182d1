"""A connector against what was recorded, or against its simulator: no daemon, no network.

A fixture is a JSON file::

    {
      "settings": {"base_url": "https://api.acme.example", "token": "any"},
      "exchanges": [
        {"request": {"method": "GET", "path": "/milestones", "query": {"since": "0"}},
         "answer": {"status": 200, "body": {"rows": [...], "last": 7}}}
      ],
      "deliver": [{"type": "customer.changed/1", ...}]
    }

or, with a world that changes, ``{"simulator": {"seed": 7, "do": [{"act": "win_deal", ...}]}}``. All fields
are in `Fixture`.
"""

import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import msgspec

from isthmus.sdk.connector import Connector, Link, Opened
from isthmus.sdk.errors import Fatal
from isthmus.sdk.http import recorded_transport
from isthmus.sdk.reply import Reply
from isthmus.sdk.simulator import ActRefused, Simulator, started
from isthmus.sdk.testing.context import FakeContext

__all__ = ["Fixture", "FixtureWrong", "Recorded", "opened"]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests: all that is given must fit. The host does not matter, nothing is sent to it."""

    path: str
    method: str = "GET"
    query: dict[str, str] = {}
    """Parameters it must have, whatever else it has."""
    contains: str = ""
    """Text its body must hold."""


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What comes back: ``body`` is JSON, ``text`` anything else."""

    status: int = 200
    headers: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw()
    text: str = ""

    @property
    def content(self) -> bytes:
        return bytes(self.body) or self.text.encode()


class Exchange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One request and its answer."""

    request: Request
    answer: Answer = Answer()


class SimulatorWorld(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The plugin's own simulator, brought into a state by acts of its users."""

    seed: int = 0
    state: str | None = None
    """A file of ``isthmus simulate --state``, beside the fixture; it is read and left as it is."""
    do: Sequence[dict[str, Any]] = ()
    """Bodies of ``POST /_sim/do``, in order."""


class Fixture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a connector is opened with and what the peer says; either ``exchanges`` or ``simulator``."""

    settings: dict[str, Any] = {}
    """The plugin's settings; secrets are plain strings here, and need not be real ones."""
    instance: str = "trial"
    entity: str = "main"
    now: datetime | None = None
    """The time the connector sees; the real one where it is left out."""
    links: Sequence[Link] = ()
    """What the crosswalk knows already."""
    exchanges: Sequence[Exchange] = ()
    """Where several fit a request they are used in order, the last one of them again and again."""
    simulator: SimulatorWorld | None = None
    pull: Sequence[str] | None = None
    """The streams to read; all where it is left out, none where it is empty."""
    deliver: Sequence[msgspec.Raw] = ()
    """Canonical events to deliver, in order."""

    def __post_init__(self) -> None:
        if bool(self.exchanges) == (self.simulator is not None):
            raise ValueError("give either exchanges or a simulator")


class FixtureWrong(ValueError):
    """The fixture asks for what its simulator does not do; the message names the place."""


class Recorded:
    """Answers from exchanges; ``asked`` has what was asked, as ``GET /path?query``."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self._left = list(exchanges)
        self.asked: list[str] = []

    def __call__(self, method: str, url: str, body: bytes) -> Reply:
        """
        Raises:
            Fatal: nothing was recorded for this request; the message shows what to add.
        """
        parts = urlsplit(url)
        shown = parts.path + (f"?{parts.query}" if parts.query else "")
        self.asked.append(f"{method} {shown}")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        fitting = [each for each in self._left if _fits(each.request, method, parts.path, query, body)]
        if not fitting:
            raise Fatal(f"the fixture has no answer to {method} {shown}; add an exchange for it")
        if len(fitting) > 1:
            self._left.remove(fitting[0])
        answer = fitting[0].answer
        headers = {"content-type": "application/json", **{k.lower(): v for k, v in answer.headers.items()}}
        return Reply(status=answer.status, headers=headers, body=answer.content)


def _fits(wanted: Request, method: str, path: str, query: Mapping[str, str], body: bytes) -> bool:
    return (
        wanted.method.upper() == method
        and wanted.path == path
        and wanted.query.items() <= query.items()
        and wanted.contains.encode() in body
    )


@asynccontextmanager
async def opened(
    connector: Connector,
    fixture: Fixture,
    settings_of: Any,
    simulator: type[Simulator] | None = None,
    directory: Path | None = None,
) -> AsyncIterator[tuple[Opened, FakeContext]]:
    """Open a connector in the world of a fixture.

    Args:
        settings_of: Makes the plugin's Settings of plain values.
        simulator: The plugin's simulator, for a fixture that asks for it.
        directory: Where the fixture's own paths start.

    Raises:
        Fatal: the fixture asks for a simulator and the plugin has none, or the settings can never work.
        FixtureWrong: an act of the fixture is not possible.
    """
    world = fixture.simulator
    async with AsyncExitStack() as stack:
        values = dict(fixture.settings)
        recorded = None
        if world is None:
            recorded = Recorded(fixture.exchanges)
        elif simulator is None:
            raise Fatal("this plugin brings no simulator; give the fixture exchanges")
        else:
            peer = simulator(seed=world.seed, now=lambda: fixture.now or datetime.now(UTC))
            if world.state is not None:
                copy = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "state.json"
                copy.write_bytes(((directory or Path()) / world.state).read_bytes())
                peer.restore(copy)
            await stack.enter_async_context(started(peer))
            for number, act in enumerate(world.do):
                try:
                    await peer.perform(act)
                except (ActRefused, LookupError) as error:
                    raise FixtureWrong(f"simulator.do[{number}]: {error}") from error
            values = {**peer.credentials(), **values}
        context = FakeContext(
            fixture.instance,
            entity=fixture.entity,
            now=lambda: fixture.now or datetime.now(UTC),
            transport=None if recorded is None else recorded_transport(recorded),
        )
        context.keep(fixture.links)
        yield await stack.enter_async_context(connector.open(settings_of(values), context)), context
