"""The whole daemon and its Salesforce connector: the CRM and Certinia PSA in one org, and an ERP."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import trio

from isthmus.app.daemon import Daemon
from isthmus.config import Config, ConnectorConfig, DaemonConfig, LaneConfig
from isthmus.config.problems import Places
from isthmus.events import InvoiceReleased, InvoiceVoided
from isthmus.ops.metrics import Metrics
from isthmus.sdk import Connector, Secret
from isthmus.sdk.simulator import Record, started
from isthmus.store.open import open_store
from isthmus_salesforce.certinia.settings import CertiniaSettings
from isthmus_salesforce.connector import SalesforceConnector
from isthmus_salesforce.settings import SalesforceSettings
from isthmus_salesforce.simulator import Salesforce
from tests.flows.firm import Nothing, System, stopped_ledger, wait_until

MONDAY = "2026-01-12"
LINES = [{"Line__c": "T", "Model__c": "time_and_materials", "Default_Rate__c": "150"}]


class OneOrg:
    """An org with both, read by two instances, and an ERP that posts what it is given."""

    def __init__(self, state_dir: Path, org: Salesforce) -> None:
        self.state_dir = state_dir
        self.org = org
        self.erp = System("erp")

    def config(self) -> Config:
        def lane(connector: str) -> LaneConfig:
            return LaneConfig(connector=connector, retry_first_s=0.05, retry_max_s=0.2)

        return Config(
            directory=self.state_dir,
            daemon=DaemonConfig(state_dir=self.state_dir, drain_s=10),
            connectors={
                name: ConnectorConfig(plugin=name, entity="main", poll_s=0.1)
                for name in ("crm", "psa", "erp")
            },
            lanes={
                "project-setup": LaneConfig(process="project-setup"),
                "billing": LaneConfig(process="billing"),
                "psa": lane("psa"),
                "erp.charges": lane("erp"),
            },
            routes={
                "contract.signed": ("psa",),
                "project.created": ("psa",),
                "charge.determined": ("erp.charges", "psa"),
                "invoice.released": ("psa",),
                "invoice.voided": ("psa",),
            },
            places=Places(self.state_dir),
        )

    def settings(self) -> dict[str, msgspec.Struct]:
        given = self.org.credentials()
        given |= {name: Secret(given[name]) for name in ("private_key", "client_secret")}
        given |= {"private_key": None, "settle_s": 0.0}
        certinia = CertiniaSettings(crm="crm", services={"Senior Consultant": "consulting"})
        return {
            "crm": SalesforceSettings(**given),
            "psa": SalesforceSettings(**given, pack="certinia-psa", certinia=certinia),
            "erp": Nothing(),
        }

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        salesforce: type[Connector] = SalesforceConnector
        connectors = {"crm": salesforce, "psa": salesforce, "erp": self.erp.connector()}
        with trio.fail_after(60):
            async with open_store(self.state_dir) as store:
                daemon = Daemon(self.config(), store, connectors, self.settings(), Metrics())
                stop = trio.Event()
                async with trio.open_nursery() as nursery:
                    await nursery.start(daemon.work, stop)
                    yield
                    stop.set()

    def only(self, kind: str) -> Record | None:
        found = list(self.org.ledger.of_kind(kind))
        assert len(found) <= 1, f"{len(found)} of {kind}"
        return found[0] if found else None

    def charges(self) -> list[tuple[str, Decimal]]:
        """Day and amount of each charge that the ERP has."""
        return sorted((c.origin_key.rpartition("/")[2], c.amount) for c in self.erp.books.charges())

    def tell(self, fact: InvoiceReleased | InvoiceVoided) -> None:
        self.erp.source.facts.append(fact)


async def until(holds: Callable[[], bool]) -> None:
    async def found() -> bool:
        await trio.lowlevel.checkpoint()
        return holds()

    await wait_until(found)


def released(charges: list[str]) -> InvoiceReleased:
    return InvoiceReleased(
        source="erp",
        occurred_at=datetime(2026, 1, 31, 12, tzinfo=UTC),
        entity="main",
        invoice="erp:INV-1",
        number="INV-1",
        customer="crm:any",
        issued_on=date(2026, 1, 31),
        due_on=date(2026, 3, 2),
        total=Decimal("2325.00"),
        currency="EUR",
        charges=charges,
    )


def voided() -> InvoiceVoided:
    return InvoiceVoided(
        source="erp",
        occurred_at=datetime(2026, 2, 3, 12, tzinfo=UTC),
        entity="main",
        invoice="erp:INV-1",
        number="INV-1",
        on=date(2026, 2, 3),
        amount=Decimal("2325.00"),
        currency="EUR",
    )


async def test_a_deal_becomes_a_project_its_time_charges_and_the_invoice_comes_back_to_the_split(
    tmp_path: Path,
) -> None:
    async with started(Salesforce()) as org:
        assert isinstance(org, Salesforce)
        firm = OneOrg(tmp_path / "state", org)
        acts = org.acts()
        won = acts["win_deal"](
            *("Acme", "Rollout", "20000", "EUR", "main", LINES, "2026-01-05", "2026-01-01", "Europe/Berlin")
        )
        async with firm.at_work():
            await until(lambda: firm.only("pse__Proj__c") is not None)
            project = firm.only("pse__Proj__c")
            assert project is not None
            assert project.external_key == f"crm:{won['opportunity']}"
            assert project.fields["pse__Account__c"] == won["account"]
            assert project.fields["pse__Opportunity__c"] == won["opportunity"]

            anna = acts["add_resource"]("Anna Weber", role="Senior Consultant")["resource"]
            planned = acts["assign"](project.id, anna, "Senior Consultant", "2026-01-01", "2026-03-31")
            week = acts["log_week"](project.id, anna, MONDAY, [8, 7.5], planned["assignment"])
            acts["approve_week"](week["timecard"])
            earned = [("2026-01-12", Decimal("1200.00")), ("2026-01-13", Decimal("1125.00"))]
            await until(lambda: firm.charges() == earned)

            firm.tell(released([charge.charge for charge in firm.erp.books.charges()]))
            (split,) = org.ledger.of_kind("pse__Timecard__c")
            await until(lambda: split.fields["pse__Invoice_Number__c"] == "INV-1")
            assert split.fields["pse__Invoiced__c"] is True
            # Our own write-back is read again as a new revision, and moves nothing.
            await trio.sleep(2)
            assert firm.charges() == earned

            acts["correct_week"](week["timecard"], [8, 7])
            corrected = sorted(
                [*earned, ("2026-01-13", Decimal("-1125.00")), ("2026-01-13", Decimal("1050.00"))]
            )
            await until(lambda: firm.charges() == corrected)

            firm.tell(voided())
            await until(lambda: split.fields["pse__Invoiced__c"] is False)
            acts["reject_week"](week["timecard"])
            await until(lambda: sum((amount for _, amount in firm.charges()), Decimal(0)) == 0)
        assert firm.only("pse__Proj__c") is project
        book = await stopped_ledger(firm)
    assert (book.letters, book.unfinished) == ([], 0)
    assert book.kinds["time.unapproved"] == 2
