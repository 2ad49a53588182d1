"""Which exceptions an act is about, and what it came to."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from isthmus.ops.errors import NotFound
from isthmus.ops.work_items import Stake, stake_of
from isthmus.store import dead_letters
from isthmus.store import log as event_log
from isthmus.store.face import Tx

__all__ = [
    "Done",
    "Selection",
    "delivery_of",
    "letter_of",
    "matching",
    "open_one",
    "stake_in",
    "stakes_of",
    "still_open",
]


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which exceptions an act is about: ids, or all open ones that fit."""

    ids: list[int] = []
    every: bool = False
    where: str | None = None
    error_class: str | None = None
    subject: str | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What an act found and did."""

    matched: int
    done: int
    proposed: int = 0
    """What waits for a second person now."""
    stakes: dict[str, Decimal] = {}
    """The amounts of all that matched, by currency."""
    dry_run: bool

    def and_then(self, more: "Done") -> "Done":
        """Both together."""
        sums = dict(self.stakes)
        for currency, amount in more.stakes.items():
            sums[currency] = sums.get(currency, Decimal(0)) + amount
        return Done(
            matched=self.matched + more.matched,
            done=self.done + more.done,
            proposed=self.proposed + more.proposed,
            stakes=sums,
            dry_run=self.dry_run,
        )


def letter_of(tx: Tx, number: int) -> dead_letters.DeadLetter:
    """One work item, in any state.

    Raises:
        NotFound: there is none.
    """
    letter = dead_letters.get(tx, number)
    if letter is None:
        raise NotFound(f"no exception {number}; 'isthmus exception list --state any' shows them")
    return letter


def open_one(tx: Tx, number: int, deliveries_only: bool) -> dead_letters.DeadLetter:
    """One work item that nobody has dealt with.

    Raises:
        NotFound: there is none, or somebody was first; the message says who.
    """
    letter = dead_letters.get(tx, number)
    if letter is None or (deliveries_only and letter.origin != "delivery"):
        what = " of a delivery" if deliveries_only else ""
        raise NotFound(f"no open exception {number}{what}; 'isthmus exception list' shows them")
    if letter.state != "open":
        at = letter.resolved_at
        when = "" if at is None else f" at {at:%Y-%m-%d %H:%M}"
        raise NotFound(
            f"exception {number} is {letter.state} already, by {letter.resolved_by}{when}: {letter.note}"
        )
    return letter


def still_open(tx: Tx, number: int) -> dead_letters.DeadLetter | None:
    """The same for one of many: None where somebody was first."""
    letter = dead_letters.get(tx, number)
    return letter if letter is not None and letter.state == "open" else None


def matching(tx: Tx, chosen: Selection, deliveries_only: bool) -> list[int]:
    """The ids of all open ones that fit."""
    found: list[int] = []
    after = 0
    while True:
        wanted = dead_letters.Filter(
            state="open",
            origin="delivery" if deliveries_only else None,
            lane_or_source=chosen.where,
            subject=chosen.subject,
            error_class=chosen.error_class,
            after=after,
            limit=1000,
        )
        letters = dead_letters.listing(tx, wanted)
        if not letters:
            return found
        found += [letter.id for letter in letters]
        after = found[-1]


def delivery_of(letter: dead_letters.DeadLetter) -> tuple[str, int]:
    """Lane and seq of a delivery's work item."""
    assert letter.seq is not None, "a work item of a delivery names its event"
    return letter.lane_or_source, letter.seq


def stake_in(tx: Tx, letter: dead_letters.DeadLetter) -> Stake | None:
    """What one work item is about, in money."""
    if letter.seq is None:
        return None
    rows = event_log.by_seqs(tx, [letter.seq])
    return stake_of(msgspec.json.decode(rows[0].payload)) if rows else None


def stakes_of(tx: Tx, letters: Sequence[dead_letters.DeadLetter]) -> dict[str, Decimal]:
    """The sums of several, by currency."""
    sums: dict[str, Decimal] = {}
    for letter in letters:
        stake = stake_in(tx, letter)
        if stake is not None:
            sums[stake.currency] = sums.get(stake.currency, Decimal(0)) + stake.amount
    return sums
