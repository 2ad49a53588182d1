"""What our own daemon records, so that a replay of the log needs no clock, no configuration and no peer."""

from datetime import date
from typing import ClassVar, Literal

from isthmus.events.base import BusinessEvent
from isthmus.events.values import Amount, Currency, Key

ChangeStep = Literal["terms", "contract", "schedule", "demand", "projection"]
StepState = Literal["ordered", "done", "failed", "superseded", "compensated"]
Outcome = Literal["delivered", "refused", "in_doubt"]


class CalendarTicked(BusinessEvent, frozen=True, kw_only=True, tag="calendar.ticked/1"):
    """A day began where contracts are dated in ``time_zone``; what is due up to it may be billed.

    ``entity`` is the legal entity whose contracts are meant. One tick catches up on all days before it.
    """

    KEY: ClassVar[str] = "day"

    day: date
    time_zone: str | None = None
    """IANA name; None means every zone."""

    @property
    def key(self) -> str:
        return f"{self.entity}|{self.time_zone or '*'}|{self.day}"

    @property
    def subject(self) -> str:
        return self.key


class DimensionsRevised(BusinessEvent, frozen=True, kw_only=True, tag="dimensions.revised/1"):
    """How a legal entity's ledger names what is billed; the newest revision is the whole truth.

    A dimension is ``item``, ``service``, ``department``, ``class``, ``location`` or the ledger's own.
    """

    KEY: ClassVar[str] = "entity"

    revision: int
    services: dict[str, dict[str, str]]
    """By service: the dimensions of hours."""
    origins: dict[str, dict[str, str]]
    """By origin (``expense``, ``milestone``, ``installment``, ``retainer``, ``subscription``)."""


class RoutesRevised(BusinessEvent, frozen=True, kw_only=True, tag="routes.revised/1"):
    """Which lanes carry which kinds of facts since now; tells a change order whose word it waits for."""

    KEY: ClassVar[str] = "entity"

    revision: int
    lanes: dict[str, list[str]]
    """By kind: the live lanes that take it for this legal entity."""


class ChargeOvertaken(BusinessEvent, frozen=True, kw_only=True, tag="charge.overtaken/1"):
    """A charge was not sent: the period it posts to was closed after it was determined."""

    KEY: ClassVar[str] = "charge"
    SUBJECT: ClassVar[str] = "origin_key"

    charge: Key
    origin: str
    origin_key: Key
    posting_on: date
    period: str
    lane: str
    """The lane that did not send it."""
    project: Key | None = None


class DeliverySettled(BusinessEvent, frozen=True, kw_only=True, tag="delivery.settled/1"):
    """What became of a fact in one lane; recorded for the facts of a change order."""

    KEY: ClassVar[str] = "delivery"
    SUBJECT: ClassVar[str] = "event"

    delivery: str
    """``<lane>|<event>``; longer than a key, as ids of derived facts are."""
    event: str
    """The id of the fact."""
    lane: str
    outcome: Outcome
    detail: str = ""
    project: Key | None = None
    revision: int = 1
    """Counts the words about one delivery: refused, then delivered after a retry."""


class ChangeOrderStepped(BusinessEvent, frozen=True, kw_only=True, tag="change_order.stepped/1"):
    """A step of a change order was ordered, is done, or failed; `event trace` shows where it stands."""

    KEY: ClassVar[str] = "change"
    SUBJECT: ClassVar[str] = "contract"

    change: Key
    """``<contract>/<revision>``"""
    contract: Key
    project: Key
    step: ChangeStep
    state: StepState
    detail: str
    revision: int = 1
    """Counts one teller's words; there are two tellers, so a lower one is not stale."""


class DemandRevised(BusinessEvent, frozen=True, kw_only=True, tag="demand.revised/1"):
    """What a changed contract asks of delivery: the hours it pays by service, and its worth."""

    KEY: ClassVar[str] = "contract"

    contract: Key
    project: Key
    revision: int
    currency: Currency
    budget: Amount | None = None
    """The sum its lines name; None where none does."""
    hours: dict[str, Amount]
    """By service: the hours that caps and included hours pay for; a service without a bound is missing."""
