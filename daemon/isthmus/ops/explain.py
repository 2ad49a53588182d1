"""Why something is billed, or not yet: the whole derivation of one time entry, expense, milestone or period.

Pure: steps of a story in, words out. The words of a charge are those the rules wrote when they made it.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from isthmus.ops.story import Landing, Step
from isthmus.process.reasons import ENDS

__all__ = ["Decision", "Explanation", "Part", "explain"]

ZERO = Decimal(0)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What a part of the work has come to."""

    state: str
    """``billed``, ``waived`` or ``held``."""
    quantity: Decimal | None = None
    """Hours of time, else what the charge counts; None where a hold says none."""
    amount: Decimal | None = None
    currency: str = ""
    reason: str = ""
    """The code of a waiver or a hold."""
    detail: str = ""
    """For a hold: what stands in the way, and what ends it."""
    line: str = ""
    charge: str = ""
    landings: list[Landing] = []
    """Where the charge is, by lane."""
    posted: list[str] = []
    """Where an ERP says it has the charge: ``erp as timeBill/7``."""
    invoices: list[str] = []
    """Numbers of the invoices that bill the charge."""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the derivation, in the order of the log."""

    seq: int
    recorded_at: datetime
    what: str
    """The kind: ``time.approved``, ``charge.determined``."""
    stale: bool
    """A newer revision was known already; it changed nothing."""
    words: list[str]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One origin of charges: where it stands, and how it came to be."""

    origin_key: str
    answer: list[str]
    """Where each part of it stands, a sentence for each."""
    parts: list[Part]
    decisions: list[Decision]


def explain(steps: Sequence[Step]) -> list[Explanation]:
    """Explain what the steps of a story bill, one explanation for each origin, in their order.

    Args:
        steps: Of `isthmus.ops.story.tell`, about a charge, a fact, a posting or an invoice.

    Returns:
        Empty when the steps bill nothing and hold nothing.
    """
    origins = dict.fromkeys(
        str(step.event["origin_key"])
        for step in steps
        if step.type.startswith("charge.") and _has_origin(step)
    )
    return [_explain(key, steps) for key in origins]


def _has_origin(step: Step) -> bool:
    return "origin_key" in step.event


def _explain(key: str, steps: Sequence[Step]) -> Explanation:
    own = [step for step in steps if key in (step.subject, step.event.get("origin_key"))]
    charges = {str(step.event["charge"]) for step in own if _kind(step) == "charge.determined"}
    told = [step for step in steps if step in own or _concerns(step, charges)]
    invoices = [step for step in told if _kind(step) == "invoice.released"]
    numbers = {str(step.event["invoice"]) for step in invoices}
    told += [step for step in steps if step not in told and str(step.event.get("invoice")) in numbers]
    parts = _parts(own, told)
    return Explanation(
        origin_key=key,
        answer=_answer(parts),
        parts=parts,
        decisions=[
            Decision(
                seq=step.seq,
                recorded_at=step.recorded_at,
                what=_kind(step),
                stale=step.stale,
                words=_words(step),
            )
            for step in sorted(told, key=lambda step: step.seq)
        ],
    )


def _concerns(step: Step, charges: set[str]) -> bool:
    """A posting of one of the charges, or an invoice with one of them."""
    if _kind(step) == "charge.posted":
        return step.event["charge"] in charges
    return _kind(step) == "invoice.released" and not charges.isdisjoint(step.event["charges"])


# Where it stands


class _Standing:
    """Follows the events of one origin to what stands of them."""

    def __init__(self, overtaken: set[str]) -> None:
        self._overtaken = overtaken
        self.charges: dict[str, Step] = {}
        self.taken_back: dict[str, Step] = {}
        """By the reversal's key: the charge, which stands again when the reversal is cancelled."""
        self.waived: list[Step] = []
        self.held: Step | None = None

    def take(self, step: Step) -> None:
        match _kind(step):
            case "charge.determined" if step.event.get("reverses"):
                self._reversal(step)
            case "charge.determined":
                self._forget_older(step)
                self.charges[step.event["charge"]] = step
            case "charge.waived":
                self._forget_older(step)
                self.waived.append(step)
            case "charge.held":
                self.held = step
                # A correction that waits for a period leaves standing what it will replace.
                if step.event["reason"] != "period_closed":
                    self._forget_older(step)
            case "charge.released":
                self.held = None
            case "time.unapproved" | "expense.withdrawn" | "milestone.reopened" if not step.stale:
                if not self.charges:
                    self.waived.clear()

    def _reversal(self, step: Step) -> None:
        name = step.event["reverses"]
        if name in self.taken_back:
            again = self.taken_back.pop(name)
            self.charges[again.event["charge"]] = again
            return
        self.taken_back[step.event["charge"]] = self.charges.pop(name)
        if step.event.get("causation") not in self._overtaken:
            # Only a charge that a close overtook is taken back alone; else the whole work is.
            self.waived.clear()

    def _forget_older(self, step: Step) -> None:
        """Included hours leave no reversal: what a newer revision says takes their place."""
        revision = step.event["origin_revision"]
        self.waived = [each for each in self.waived if each.event["origin_revision"] >= revision]


def _parts(own: Sequence[Step], told: Sequence[Step]) -> list[Part]:
    overtaken = {str(step.event["id"]) for step in own if _kind(step) == "charge.overtaken"}
    standing = _Standing(overtaken)
    for step in own:
        standing.take(step)
    parts = [
        Part(
            state="waived",
            quantity=Decimal(step.event["quantity"]),
            reason=step.event["reason"],
        )
        for step in standing.waived
    ]
    parts += [_billed(step, told) for step in standing.charges.values()]
    if standing.held is not None:
        event = standing.held.event
        ends = ENDS.get(event["reason"], "")
        parts.append(
            Part(
                state="held",
                quantity=_decimal(event.get("quantity")),
                amount=_decimal(event.get("amount")),
                reason=event["reason"],
                detail=event["detail"] + (f"; it ends when {ends}" if ends else ""),
            )
        )
    return parts


def _billed(step: Step, told: Sequence[Step]) -> Part:
    event, charge = step.event, step.event["charge"]
    voided = {each.event["invoice"] for each in told if _kind(each) == "invoice.voided"}
    posted = [
        each.event for each in told if _kind(each) == "charge.posted" and each.event["charge"] == charge
    ]
    return Part(
        state="billed",
        quantity=Decimal(event["quantity"]),
        amount=Decimal(event["amount"]),
        currency=event["currency"],
        line=event["line"],
        charge=charge,
        landings=step.landings,
        posted=[f"{each['system']} as {each['remote_id']}" for each in posted],
        invoices=[
            each.event["number"]
            for each in told
            if _kind(each) == "invoice.released"
            and charge in each.event["charges"]
            and each.event["invoice"] not in voided
        ],
    )


def _answer(parts: Sequence[Part]) -> list[str]:
    told = []
    for part in parts:
        amount = "" if part.amount is None else f"{part.amount:,} {part.currency}".strip()
        quantity = "" if part.quantity is None else f"{part.quantity:f}"
        match part.state:
            case "billed":
                told.append(f"{quantity} billed: {amount}, {_where(part)}")
            case "waived":
                told.append(f"{quantity} not billed: {part.reason}")
            case _:
                amount = f" ({amount})" if amount else ""
                told.append(f"{quantity or 'all of it'} held{amount}: {part.reason}, {part.detail}")
    return told or ["nothing stands: it was taken back"]


def _where(part: Part) -> str:
    if part.invoices:
        return f"on invoice {', '.join(part.invoices)}"
    if part.posted:
        return f"in {', '.join(part.posted)}"
    if not part.landings:
        return "not yet sent"
    return ", ".join(
        f"in {each.lane} as {each.remote_id}" if each.state == "delivered" else f"{each.state} in {each.lane}"
        for each in part.landings
    )


# How it came to be


def _words(step: Step) -> list[str]:
    event = step.event
    match _kind(step):
        case "charge.determined":
            return [*event["explanation"], f"charge {event['charge']}"]
        case "charge.waived":
            return [*event.get("explanation", ()), f"{event['quantity']} not billed: {event['reason']}"]
        case "charge.held":
            share = " ".join(str(event[name]) for name in ("quantity", "amount") if event.get(name))
            ends = ENDS.get(event["reason"], "")
            return [f"{event['reason']} {share}".rstrip(), event["detail"], f"it ends when {ends}"]
        case "charge.released":
            return [f"the hold {event['reason']} ends: {event['detail']}"]
        case "charge.posted":
            return [f"{event['system']} has it as {event['remote_id']}, posted on {event['posted_on']}"]
        case "invoice.released":
            return [f"invoice {event['number']} of {event['issued_on']}, due on {event['due_on']}"]
        case "payment.received":
            return [
                f"{event['amount']} {event['currency']} received on {event['received_on']}, "
                f"{event['open_amount']} open"
            ]
        case "revenue.deferred" | "revenue.released":
            left = f"{event['balance']} left to be earned"
            return [f"{event['amount']} {event['currency']} on {event['on']}, {left}"]
    return [_plain(event)]


_ENVELOPE = frozenset({"type", "id", "source", "occurred_at", "entity", "correlation", "causation", "note"})


def _plain(event: dict[str, Any]) -> str:
    """A fact in its own fields; free text of people is left out."""
    told = {name: value for name, value in event.items() if name not in _ENVELOPE and value is not None}
    return ", ".join(f"{name} {_value(value)}" for name, value in told.items())


def _value(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _decimal(text: Any) -> Decimal | None:
    return None if text is None else Decimal(text)


def _kind(step: Step) -> str:
    return step.type.partition("/")[0]
