"""Whether newer terms name another price for work that was charged already."""

from isthmus.events.contract import Retainer, TimeAndMaterials
from isthmus.process.face import States
from isthmus.process.rules.contracts import contract_row, newest_terms, terms_on
from isthmus.process.rules.models import MODELS, choose_line
from isthmus.process.rules.plan import Plan
from isthmus.process.rules.rows import ZERO, Contract, Fact

__all__ = ["HOURLY", "differs"]

HOURLY = frozenset({"time", "retainer_overage"})
"""Origins whose quantity is hours."""


def differs(fact: Fact, states: States) -> bool:
    """Whether what stands of time or a milestone would cost something else by the terms of its day.

    A line that an amendment drops, and a service it has no rate for any more, keep what they have.
    """
    if fact.work is None or fact.work.contract is not None or not fact.charges:
        return False
    key = fact.charges[0].contract
    contract = contract_row(key, states)
    assert contract is not None, "what was charged has its contract"
    return _milestone(key, contract, fact, states) if fact.origin == "milestone" else _hours(fact, states)


def _hours(fact: Fact, states: States) -> bool:
    work = fact.work
    assert work is not None
    for charge in fact.charges:
        contract = contract_row(charge.contract, states)
        assert contract is not None, "what was charged has its contract"
        terms = terms_on(charge.contract, contract, work.done_on, states)
        line = terms.line(charge.line)
        if charge.origin not in HOURLY or not isinstance(line, (TimeAndMaterials, Retainer)):
            continue
        if terms.revision != newest_terms(charge.contract, contract, states).revision:
            continue
        plan = MODELS[type(line)].plan(line, line, work, terms.currency)
        if isinstance(plan, Plan) and plan.price != charge.rate:
            return True
    return False


def _milestone(key: str, contract: Contract, fact: Fact, states: States) -> bool:
    assert fact.work is not None
    terms = terms_on(key, contract, fact.work.done_on, states)
    line = choose_line(terms, fact.work)
    if line is None:
        return False
    plan = MODELS[type(line)].plan(line, line, fact.work, terms.currency)
    return isinstance(plan, Plan) and plan.total != sum((charge.amount for charge in fact.charges), ZERO)
