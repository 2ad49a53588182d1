"""The actor that tells owners what waits for them: looks, decides, sends, and remembers what was told."""

import logging
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, NoReturn

import msgspec
import trio

from isthmus.ops.notices import deciding, ledger
from isthmus.ops.notices.channels import Channel, Gone, NotTaken
from isthmus.ops.notices.deciding import Book, Item, Notice, Rules
from isthmus.runtime.patience import wait_out
from isthmus.store import audit
from isthmus.store.errors import StoreFull
from isthmus.store.face import Store, Tx

log = logging.getLogger(__name__)

__all__ = ["Answer", "Owner", "Teller"]

LOOK_EVERY_S = 30.0
Outcome = Literal["sent", "failed", "given_up", "gone"]


class Owner(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who is told."""

    name: str
    rules: Rules
    channels: Sequence[Channel]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the peer of one channel said to a test message."""

    channel: str
    taken: bool
    answer: str


class Teller:
    """The actor. `run` never returns."""

    def __init__(
        self,
        store: Store,
        owners: Sequence[Owner],
        *,
        by_domain: Mapping[str, str],
        now: Callable[[], datetime],
        parked: Callable[[], Collection[str]],
        quarantined: Collection[str] = (),
        count: Callable[[str, Outcome], None] = lambda channel, outcome: None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """
        Args:
            by_domain: Who owns what nobody is assigned to.
            count: Hears the channel and the outcome of each try.
        """
        self._store = store
        self._owners = {owner.name: owner for owner in owners}
        self._by_domain = by_domain
        self._now = now
        self._parked = parked
        self._quarantined = quarantined
        self._count = count
        self._jitter = jitter

    async def run(self) -> NoReturn:
        """Look, tell what is due, and wait."""
        while True:
            await trio.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Decide for each owner and send what is due; one that does not answer holds up no other."""
        if not self._owners:
            return
        found = await self._store.read(lambda tx: ledger.open_items(tx, self._by_domain), limit_s=60.0)
        operations = self._by_domain.get(ledger.OPERATIONS, ledger.OPERATIONS)
        found.setdefault(operations, []).extend(ledger.faults(self._parked(), self._quarantined))
        async with trio.open_nursery() as nursery:
            for owner in self._owners.values():
                for channel in owner.channels:
                    nursery.start_soon(self._tell, owner, channel, found.get(owner.name, []))

    async def test(self, name: str, *, by: str) -> list[Answer] | None:
        """Send a test message over each channel of an owner; None for somebody who is not told.

        A channel that takes it is used again, where the peer had wanted no more messages.
        """
        owner = self._owners.get(name)
        if owner is None:
            return None
        at = self._now()
        answers: dict[str, Answer] = {}

        async def ask(channel: Channel) -> None:
            notice = Notice(
                id=deciding.message_id(f"test {_book(owner.name, channel)}", at),
                kind="test",
                owner=owner.name,
                made_at=at,
            )
            try:
                words = await channel.send(notice, at)
            except NotTaken as error:
                answers[channel.name] = Answer(channel=channel.name, taken=False, answer=str(error))
            else:
                answers[channel.name] = Answer(channel=channel.name, taken=True, answer=words)

        async with trio.open_nursery() as nursery:
            for channel in owner.channels:
                nursery.start_soon(ask, channel)
        taken = [channel for channel in owner.channels if answers[channel.name].taken]

        def unit(tx: Tx) -> None:
            audit.append(tx, by, "notify.test", {"owner": name, "taken": [each.name for each in taken]}, at)
            for channel in taken:
                book = ledger.load(tx, _book(name, channel))
                if book.gone:
                    ledger.save(tx, _book(name, channel), msgspec.structs.replace(book, gone=""))

        await self._store.write(unit)
        return [answers[channel.name] for channel in owner.channels]

    async def _tell(self, owner: Owner, channel: Channel, items: Sequence[Item]) -> None:
        name, now = _book(owner.name, channel), self._now()
        known = await self._store.read(lambda tx: ledger.load(tx, name))
        if known.gone == channel.address:
            return
        book = msgspec.structs.replace(known, gone="")
        book = deciding.decide(book, items, owner.rules, now, owner=owner.name, seed=name)
        if book != known:
            # Kept before it is sent: after a crash it is the same message, under the same id.
            await self._keep(name, book)
        if book.notice is None or book.due_at is None or now < book.due_at:
            return
        if deciding.is_quiet(owner.rules, now):
            return
        await self._keep(name, await self._send(owner, channel, book, book.notice))

    async def _send(self, owner: Owner, channel: Channel, book: Book, notice: Notice) -> Book:
        """Try once; the book after it."""
        facts = {"actor": owner.name, "outcome": channel.name, "attempt": book.failures + 1}
        try:
            words = await channel.send(notice, self._now())
        except NotTaken as error:
            trouble = error
        else:
            self._count(channel.name, "sent")
            log.info("notice.sent", extra={**facts, "reason": f"{notice.kind} {notice.id}: {words}"})
            return deciding.delivered(book, self._now())
        facts["reason"] = str(trouble)
        if isinstance(trouble, Gone):
            self._count(channel.name, "gone")
            log.error("notice.gone", extra=facts)
            return deciding.gone(book, channel.address)
        after = deciding.failed(book, self._now(), retry_after_s=trouble.retry_after_s, jitter=self._jitter)
        if after.notice is None:
            self._count(channel.name, "given_up")
            log.error("notice.given_up", extra=facts)
        else:
            self._count(channel.name, "failed")
            if book.failures == 0:
                log.warning("notice.failed", extra=facts)
        return after

    async def _keep(self, name: str, book: Book) -> None:
        await wait_out(StoreFull, lambda: self._store.write(lambda tx: ledger.save(tx, name, book)))


def _book(owner: str, channel: Channel) -> str:
    """The name of a channel's book."""
    return f"{channel.name} {owner}"
