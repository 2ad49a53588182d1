"""The period gate at the moment of sending: was the period closed after the charge was determined? Pure."""

from typing import Literal

import msgspec

from isthmus.events.finance import ChargeDetermined
from isthmus.process.face import States
from isthmus.process.rules.contracts import contract_row, newest_terms
from isthmus.process.rules.periods import closed_on

__all__ = ["Stopped", "stopped"]


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """A charge whose period is closed by the newest word.

    ``overtaken``: it is not sent, and billing makes it again. ``waits``: a reversal under policy ``hold``;
    what it takes back stays in the books until the period is open, and so does what would replace it.
    """

    period: str
    fate: Literal["overtaken", "waits"]


def stopped(charge: ChargeDetermined, states: States) -> Stopped | None:
    """What keeps a charge from being sent now; None sends it.

    Args:
        states: The rows of billing.
    """
    closed = closed_on(charge.entity, charge.posting_on, states)
    if closed is None:
        return None
    contract = contract_row(charge.contract, states)
    policy = newest_terms(charge.contract, contract, states).period_policy if contract is not None else "hold"
    waits = charge.reverses is not None and policy == "hold"
    return Stopped(period=closed.period, fate="waits" if waits else "overtaken")
