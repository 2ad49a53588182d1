"""The workbench: what people do about exceptions. Every act is audited in the transaction that does it.

Two people at one exception: the first one wins, the second is told by whom it was taken.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from isthmus.delivery.gate import NOT_SENT
from isthmus.delivery.settle import DOUBTS, SHADOW
from isthmus.events.finance import ChargeDetermined, ChargePosted
from isthmus.ops.editing import Change, edited
from isthmus.ops.errors import NotFound, Refused
from isthmus.ops.selection import (
    Done,
    Selection,
    delivery_of,
    letter_of,
    matching,
    open_one,
    stake_in,
    stakes_of,
    still_open,
)
from isthmus.ops.work_items import ExceptionLine, ExceptionPage, line, page
from isthmus.store import audit, crosswalk, dead_letters, deliveries, edits, receipts
from isthmus.store import log as event_log
from isthmus.store.errors import CrosswalkConflict
from isthmus.store.face import Store, Tx

__all__ = ["Edited", "Site", "Workbench"]

PAGE = 500
"""Exceptions one transaction of a bulk act touches."""


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """What the workbench knows of the configuration."""

    owners: Mapping[str, str] = {}
    """By domain."""
    second_person_above: Decimal | None = None
    """The amount, in any currency, above which an act needs a second person; None: never."""
    instances: Mapping[str, str] = {}
    """The connector instance of each lane."""
    billing: str = "billing"
    """The lane billing runs in."""
    pairs: Mapping[str, str | None] = {}
    """The legal entity of each pair that is reconciled; None: all."""
    holds: frozenset[str] = frozenset()
    """Lanes whose dead letters hold back their subject."""


class Edited(msgspec.Struct, frozen=True, kw_only=True):
    """What an edit changes, and what became of it."""

    diff: dict[str, Change]
    done: Done


class Workbench:
    """Questions and acts about exceptions over one store."""

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], datetime],
        ring: Callable[[str], None] = lambda lane: None,
        site: Site | None = None,
    ) -> None:
        """
        Args:
            ring: Wakes a lane that was given work.
        """
        self._store = store
        self._now = now
        self._ring = ring
        self._site = site or Site()

    # Looking

    async def list(
        self,
        *,
        state: Literal["open", "retrying", "resolved", "skipped"] | None = "open",
        where: str | None = None,
        error_class: str | None = None,
        limit: int = 100,
    ) -> Sequence[ExceptionLine]:
        """Work items, the longest open first."""
        wanted = dead_letters.Filter(state=state, lane_or_source=where, error_class=error_class, limit=limit)
        owners = self._site.owners
        return await self._store.read(
            lambda tx: [line(tx, letter, owners) for letter in dead_letters.listing(tx, wanted)]
        )

    async def show(self, number: int) -> ExceptionPage:
        """One work item whole.

        Raises:
            NotFound: there is none.
        """

        def unit(tx: Tx) -> ExceptionPage:
            return page(tx, letter_of(tx, number), self._site.owners)

        return await self._store.read(unit)

    # Acting

    async def retry(self, chosen: Selection, *, by: str, why: str, dry_run: bool = False) -> Done:
        """Send dead or doubtful deliveries again, under the keys they always had.

        What going live left over beside another integration's record is retried by its id only: somebody has
        looked at that one, not at all of them.

        Raises:
            NotFound: an id is no open work item of a delivery.
        """

        def act(tx: Tx, letter: dead_letters.DeadLetter) -> str:
            at = self._now()
            lane, seq = delivery_of(letter)
            if chosen.every and _has_rival(tx, letter):
                return "nothing"
            if not deliveries.revive(tx, lane, seq, at, hold_on_dead=lane in self._site.holds):
                return "nothing"
            dead_letters.mark(tx, letter.id, "retrying", by, at, why)
            dead_letters.drop_proposal(tx, letter.id)
            audit.append(tx, by, "exception.retry", {"exception": letter.id, "reason": why}, at)
            return "done"

        return await self._each(chosen, act, dry_run=dry_run, deliveries_only=True)

    async def skip(
        self, chosen: Selection, *, by: str, why: str, not_there: bool = False, dry_run: bool = False
    ) -> Done:
        """Give up on work items: nothing is sent, and nothing will be.

        Args:
            not_there: Somebody looked: what is in doubt did not arrive.

        Raises:
            NotFound: an id is no open work item.
            Refused: one is in doubt and nobody looked.
        """

        def act(tx: Tx, letter: dead_letters.DeadLetter) -> str:
            self._look_before_skipping(tx, letter, not_there)
            if self._needs_second(tx, letter):
                detail = "not there" if not_there else ""
                return self._propose(tx, letter, "skip", detail, by, why)
            self._skip(tx, letter, by, why)
            return "done"

        return await self._each(chosen, act, dry_run=dry_run)

    async def resolve(self, number: int, receipt: str, *, by: str, why: str) -> Done:
        """Settle a delivery with the record somebody found, or made by hand, in the other system.

        Raises:
            NotFound: it is no open work item of a delivery.
            Refused: that record is another fact's.
        """

        def act(tx: Tx, letter: dead_letters.DeadLetter) -> str:
            if self._needs_second(tx, letter):
                return self._propose(tx, letter, "resolve", receipt, by, why)
            self._resolve(tx, letter, receipt, by, why)
            return "done"

        return await self._each(Selection(ids=[number]), act, deliveries_only=True)

    async def edit(
        self, number: int, changes: Mapping[str, Any], *, by: str, why: str, dry_run: bool = False
    ) -> Edited:
        """Change fields of what is sent, and send it again; the fact in the log stays as it was told.

        Raises:
            NotFound: it is no open work item of a delivery.
            Refused: a field may not be edited, or its value is wrong; or what is in doubt may have arrived.
        """

        def look(tx: Tx) -> dict[str, Change]:
            letter = open_one(tx, number, deliveries_only=True)
            self._look_before_editing(tx, letter)
            return edited(_sent(tx, letter), changes)[1]

        def act(tx: Tx, letter: dead_letters.DeadLetter) -> str:
            look(tx)
            if self._needs_second(tx, letter):
                return self._propose(tx, letter, "edit", _json(changes), by, why)
            self._edit(tx, letter, changes, by, why)
            return "done"

        diff = await self._store.read(look)
        done = Done(matched=1, done=0, dry_run=True)
        if not dry_run:
            done = await self._each(Selection(ids=[number]), act, deliveries_only=True)
        return Edited(diff=diff, done=done)

    async def approve(self, number: int, *, by: str, why: str) -> Done:
        """Carry out what another person proposed.

        Raises:
            NotFound: nothing is proposed for it.
            Refused: whoever proposed it cannot approve it.
        """

        def act(tx: Tx, letter: dead_letters.DeadLetter) -> str:
            proposal = dead_letters.proposal(tx, letter.id)
            if proposal is None:
                raise NotFound(f"nothing waits for a second person at exception {number}")
            if proposal.by == by:
                raise Refused(f"{by} proposed to {proposal.act} it; somebody else must approve")
            reason = f"{proposal.reason}; proposed by {proposal.by}, approved by {by}: {why}"
            match proposal.act:
                case "skip":
                    self._look_before_skipping(tx, letter, proposal.detail == "not there")
                    self._skip(tx, letter, by, reason)
                case "resolve":
                    self._resolve(tx, letter, proposal.detail, by, reason)
                case "edit":
                    self._edit(tx, letter, msgspec.json.decode(proposal.detail), by, reason)
            return "done"

        return await self._each(Selection(ids=[number]), act)

    async def assign(self, chosen: Selection, to: str, *, by: str) -> Done:
        """Say whose work they are.

        Raises:
            NotFound: an id is no open work item.
        """

        def act(tx: Tx, letter: dead_letters.DeadLetter) -> str:
            dead_letters.assign(tx, letter.id, to)
            audit.append(tx, by, "exception.assign", {"exception": letter.id, "to": to}, self._now())
            return "done"

        return await self._each(chosen, act)

    async def note(self, number: int, text: str, *, by: str) -> Done:
        """Keep what somebody found out.

        Raises:
            NotFound: there is no such work item.
        """

        def unit(tx: Tx) -> Done:
            letter = letter_of(tx, number)
            at = self._now()
            dead_letters.add_note(tx, letter.id, by, text, at)
            audit.append(tx, by, "exception.note", {"exception": letter.id}, at)
            return Done(matched=1, done=1, dry_run=False)

        return await self._store.write(unit)

    # Details

    async def _each(
        self,
        chosen: Selection,
        act: Callable[[Tx, dead_letters.DeadLetter], str],
        *,
        dry_run: bool = False,
        deliveries_only: bool = False,
    ) -> Done:
        """Do something to each chosen item, some hundred to a transaction; only those still open."""
        ids = (
            chosen.ids
            if not chosen.every
            else await self._store.read(lambda tx: matching(tx, chosen, deliveries_only))
        )
        whole = Done(matched=0, done=0, dry_run=dry_run)
        for start in range(0, len(ids), PAGE):
            part = ids[start : start + PAGE]

            def unit(tx: Tx, part: Sequence[int] = part) -> tuple[Done, set[str]]:
                found: list[dead_letters.DeadLetter] = []
                for number in part:
                    letter = (
                        open_one(tx, number, deliveries_only) if not chosen.every else still_open(tx, number)
                    )
                    if letter is not None:
                        found.append(letter)
                did = [] if dry_run else [act(tx, letter) for letter in found]
                touched = {letter.lane_or_source for letter in found if letter.origin == "delivery"}
                return Done(
                    matched=len(found),
                    done=did.count("done"),
                    proposed=did.count("proposed"),
                    stakes=stakes_of(tx, found),
                    dry_run=dry_run,
                ), touched

            done, touched = await self._store.write(unit)
            whole = whole.and_then(done)
            for lane in touched:
                self._ring(lane)
        return whole

    def _needs_second(self, tx: Tx, letter: dead_letters.DeadLetter) -> bool:
        limit, stake = self._site.second_person_above, stake_in(tx, letter)
        return limit is not None and stake is not None and abs(stake.amount) > limit

    def _propose(
        self,
        tx: Tx,
        letter: dead_letters.DeadLetter,
        act: Literal["skip", "resolve", "edit"],
        detail: str,
        by: str,
        why: str,
    ) -> str:
        at = self._now()
        proposal = dead_letters.Proposal(act=act, detail=detail, at=at, by=by, reason=why)
        dead_letters.propose(tx, letter.id, proposal)
        said = {"exception": letter.id, "act": act, "detail": detail, "reason": why}
        audit.append(tx, by, "exception.propose", said, at)
        return "proposed"

    def _look_before_editing(self, tx: Tx, letter: dead_letters.DeadLetter) -> None:
        row = deliveries.get(tx, *delivery_of(letter))
        if row is not None and (row.state == "in_doubt" or row.error_class in DOUBTS):
            raise Refused(
                f"exception {letter.id} may have arrived as it was; look in {letter.lane_or_source}: resolve "
                "it with the record's id, or retry it as it is"
            )

    def _edit(
        self, tx: Tx, letter: dead_letters.DeadLetter, changes: Mapping[str, Any], by: str, why: str
    ) -> None:
        at = self._now()
        lane, seq = delivery_of(letter)
        payload, diff = edited(_sent(tx, letter), changes)
        edits.put(tx, lane, seq, payload, by, why, at)
        deliveries.revive(tx, lane, seq, at, hold_on_dead=lane in self._site.holds)
        dead_letters.mark(tx, letter.id, "retrying", by, at, why)
        dead_letters.drop_proposal(tx, letter.id)
        audit.append(tx, by, "exception.edit", {"exception": letter.id, "diff": diff, "reason": why}, at)

    def _look_before_skipping(self, tx: Tx, letter: dead_letters.DeadLetter, not_there: bool) -> None:
        if letter.origin != "delivery" or not_there:
            return
        row = deliveries.get(tx, *delivery_of(letter))
        if row is not None and (row.state == "in_doubt" or row.error_class in DOUBTS):
            raise Refused(
                f"exception {letter.id} may have arrived at {letter.lane_or_source}; look there: resolve it "
                "with the record's id, or skip it with --not-there"
            )

    def _skip(self, tx: Tx, letter: dead_letters.DeadLetter, by: str, why: str) -> None:
        at = self._now()
        if letter.origin == "delivery":
            lane, seq = delivery_of(letter)
            # The receipt says that nothing was sent, so that a reversal of it is not sent either.
            receipts.add(tx, lane, seq, NOT_SENT, at, f"skipped by {by}: {why}")
            deliveries.settle(tx, lane, seq, hold_on_dead=lane in self._site.holds)
        self._close(tx, letter, "skipped", "exception.skip", by, why, at)

    def _resolve(self, tx: Tx, letter: dead_letters.DeadLetter, receipt: str, by: str, why: str) -> None:
        at = self._now()
        lane, seq = delivery_of(letter)
        (row,) = event_log.by_seqs(tx, [seq])
        event = row.event()
        instance = self._site.instances.get(lane, lane)
        if isinstance(event, ChargeDetermined):
            try:
                crosswalk.link(tx, "charge", event.charge, instance, receipt, at)
            except CrosswalkConflict as conflict:
                raise Refused(str(conflict)) from conflict
            event_log.append(tx, [_posted(event, instance, receipt, at)], at)
        receipts.add(tx, lane, seq, receipt, at, f"by hand, {by}: {why}")
        deliveries.settle(tx, lane, seq, hold_on_dead=lane in self._site.holds)
        self._close(tx, letter, "resolved", "exception.resolve", by, f"{receipt}: {why}", at)

    def _close(
        self,
        tx: Tx,
        letter: dead_letters.DeadLetter,
        state: Literal["resolved", "skipped"],
        act: str,
        by: str,
        why: str,
        at: datetime,
    ) -> None:
        dead_letters.mark(tx, letter.id, state, by, at, why)
        dead_letters.drop_proposal(tx, letter.id)
        audit.append(tx, by, act, {"exception": letter.id, "reason": why}, at)


def _has_rival(tx: Tx, letter: dead_letters.DeadLetter) -> bool:
    """Whether a record of another integration stands where this would be sent."""
    row = deliveries.get(tx, *delivery_of(letter))
    return row is not None and row.error_class == SHADOW and letter.error_class == "duplicate"


def _sent(tx: Tx, letter: dead_letters.DeadLetter) -> bytes:
    """What the lane sends for a work item: the fact, or its newest edit."""
    lane, seq = delivery_of(letter)
    known = edits.of(tx, lane, [seq]).get(seq)
    (row,) = event_log.by_seqs(tx, [seq])
    return row.payload if known is None else bytes(known.payload)


def _json(changes: Mapping[str, Any]) -> str:
    return msgspec.json.encode(dict(changes), order="sorted").decode()


def _posted(event: ChargeDetermined, instance: str, receipt: str, at: datetime) -> ChargePosted:
    """What the connector would have told, had it been answered."""
    return ChargePosted(
        source=instance,
        occurred_at=at,
        entity=event.entity,
        correlation=event.correlation,
        causation=event.id,
        charge=event.charge,
        system=instance,
        remote_id=receipt,
        posted_on=event.posting_on,
        amount=event.amount,
        currency=event.currency,
        project=event.project,
    )
