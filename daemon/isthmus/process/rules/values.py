"""What a contract is worth: the amounts its lines name."""

from decimal import Decimal
from typing import Literal

from isthmus.events.contract import ContractLine, FixedFee, Milestones, TimeAndMaterials

BillingWord = Literal["time_and_materials", "fixed_price", "non_billable"]


def line_value(line: ContractLine) -> Decimal | None:
    """The amount agreed for ``line``; None where none is named (an uncapped line, a retainer)."""
    if isinstance(line, Milestones):
        return sum((term.amount for term in line.milestones), Decimal(0))
    if isinstance(line, TimeAndMaterials):
        return line.cap_amount
    if isinstance(line, FixedFee):
        return line.amount
    return None


def line_values(lines: list[ContractLine]) -> dict[str, Decimal]:
    """The named amounts by line."""
    return {line.line: value for line in lines if (value := line_value(line)) is not None}


def billing_word(lines: list[ContractLine]) -> BillingWord:
    """How a contract is mostly billed: by its fixed amounts unless its time caps exceed them."""
    timed = [line for line in lines if isinstance(line, TimeAndMaterials)]
    fixed = [line for line in lines if not isinstance(line, TimeAndMaterials)]
    if not lines:
        return "non_billable"
    if not fixed:
        return "time_and_materials"
    caps = sum((line.cap_amount or Decimal(0) for line in timed), Decimal(0))
    worth = sum((line_value(line) or Decimal(0) for line in fixed), Decimal(0))
    return "time_and_materials" if caps > worth > 0 else "fixed_price"
