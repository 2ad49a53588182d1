"""project-setup: a signed contract becomes a project that every other system gets a shell of."""

from datetime import date
from decimal import Decimal

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.events.contract import ContractAmended, ContractSigned
from isthmus.events.master import ProjectCreated, ProjectStageChanged, Stage
from isthmus.events.values import Amount, Currency, Key
from isthmus.process.face import States
from isthmus.process.rules.derive import Derivation
from isthmus.process.rules.values import BillingWord, billing_word, line_values


class ContractShare(msgspec.Struct, frozen=True, kw_only=True):
    """What one contract adds to its project: the newest revision's words."""

    revision: int
    currency: Currency
    budget: Amount | None


class ProjectShell(msgspec.Struct, frozen=True, kw_only=True):
    """The project as it was announced last, and the contracts on it."""

    revision: int = 0
    stage: Stage = "planned"
    stage_revision: int = 0
    entity: str = ""
    customer: Key = "?"
    name: str = ""
    currency: Currency = "EUR"
    starts_on: date | None = None
    billing: BillingWord = "non_billable"
    contract: Key | None = None
    """The contract that was signed first; it gives the project its name."""
    budget: Amount | None = None
    contracts: dict[str, ContractShare] = {}


class ProjectSetup:
    """One ``project.created`` per contracted project, a further revision when what it says changes.

    The deal and the customer need not be known: a won deal is announced by its own event, and the customer
    is created or matched by the system that needs it, under the same customer key.
    """

    name = "project-setup"
    consumes = frozenset({"contract.signed", "contract.amended", "project.stage_changed"})

    def apply(self, event: BusinessEvent, states: States) -> list[BusinessEvent]:
        if isinstance(event, ProjectStageChanged):
            key = f"project:{event.project}"
            shell = states.get(key, ProjectShell) or ProjectShell()
            if event.revision >= shell.stage_revision:
                states.put(
                    key,
                    msgspec.structs.replace(shell, stage=event.stage, stage_revision=event.revision),
                )
            return []
        assert isinstance(event, (ContractSigned, ContractAmended))
        return self._contract(event, states)

    def _contract(self, event: ContractSigned | ContractAmended, states: States) -> list[BusinessEvent]:
        key = f"project:{event.project}"
        old = states.get(key, ProjectShell) or ProjectShell()
        share = old.contracts.get(event.contract)
        if share is not None and event.revision <= share.revision:
            return []
        values = line_values(event.lines)
        share = ContractShare(
            revision=event.revision,
            currency=event.currency,
            budget=sum(values.values(), Decimal(0)) if values else None,
        )
        shell = msgspec.structs.replace(old, contracts={**old.contracts, event.contract: share})
        if old.contract in (None, event.contract):
            shell = msgspec.structs.replace(
                shell,
                contract=event.contract,
                entity=event.entity,
                customer=event.customer,
                name=event.title,
                currency=event.currency,
                starts_on=event.starts_on,
                billing=billing_word(event.lines),
            )
        shell = msgspec.structs.replace(shell, budget=_budget(shell))
        says = ("customer", "name", "currency", "starts_on", "billing", "budget")
        news = old.revision == 0 or any(getattr(old, said) != getattr(shell, said) for said in says)
        shell = msgspec.structs.replace(shell, revision=old.revision + news)
        states.put(key, shell)
        if not news:
            return []
        out = Derivation(self.name, event)
        out.add(
            ProjectCreated,
            project=event.project,
            contract=shell.contract,
            stage=shell.stage,
            **{said: getattr(shell, said) for said in ("entity", "revision", *says)},
        )
        return out.events


def _budget(shell: ProjectShell) -> Decimal | None:
    """The sum of the known amounts in the project's currency; None where no contract names one."""
    known = [
        share.budget
        for share in shell.contracts.values()
        if share.budget is not None and share.currency == shell.currency
    ]
    return sum(known, Decimal(0)) if known else None
