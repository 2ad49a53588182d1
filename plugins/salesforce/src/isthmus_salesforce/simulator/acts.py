"""What people in sales and administration do in the org."""

import functools
from collections.abc import Callable
from datetime import datetime
from typing import Any

from isthmus.sdk.simulator import ActRefused, Record
from isthmus_salesforce.simulator.certinia_acts import Certinia
from isthmus_salesforce.simulator.login import PERSON_ID, USER_ID, USERNAME, Login
from isthmus_salesforce.simulator.org import Org, OrgRefused
from isthmus_salesforce.simulator.schema import OBJECTS

ACCOUNT, OPPORTUNITY = OBJECTS["account"], OBJECTS["opportunity"]
CONTRACT, LINE = OBJECTS["contract"], OBJECTS["contract_line__c"]
# Two rows with the same of these are the same row in two revisions.
LINE_IDENTITY = ("Line__c", "Model__c", "Service__c", "Title__c", "Due_On__c")


class Acts:
    """The vocabulary of ``/_sim/do``. Records are named by id; an account also by its name."""

    def __init__(self, org: Org, login: Login, memory: dict[str, Any], now: Callable[[], datetime]) -> None:
        self._org = org
        self._login = login
        self._memory = memory
        self._now = now

    def vocabulary(self) -> dict[str, Callable[..., Any]]:
        acts: tuple[Callable[..., Any], ...] = (
            self.win_deal,
            self.amend_contract,
            self.end_contract,
            self.add_account,
            self.edit_account,
            self.delete_account,
            self.reopen_deal,
            self.expire_sessions,
            self.use_up_calls,
            self.limit_batches,
            self.expire_locators,
            self.set_duplicate_rule,
            self.begin_transaction,
            self.commit_transaction,
            self.allow_password_login,
        )
        certinia = Certinia(self._org).vocabulary()
        return {act.__name__: self._told(act) for act in (*acts, *certinia)}

    def win_deal(
        self,
        account: str,
        name: str,
        amount: str,
        currency: str,
        entity: str,
        lines: list[dict[str, Any]],
        signed_on: str,
        starts_on: str,
        time_zone: str,
        title: str | None = None,
        period_policy: str | None = None,
        ends_on: str | None = None,
    ) -> dict[str, Any]:
        """Close a deal as won, with its signed contract: `account` by name, created when unknown; `lines`
        are rows of Contract_Line__c by field name. Returns the ids of account, opportunity, contract and
        lines."""
        customer = self._account(account) or self._org.create(
            ACCOUNT, {"Name": account, "CurrencyIsoCode": currency, "Legal_Entity__c": entity}
        )
        deal = self._org.create(
            OPPORTUNITY,
            {
                "Name": name,
                "AccountId": customer.id,
                "StageName": "Negotiation/Review",
                "CloseDate": signed_on,
                "Amount": amount,
                "CurrencyIsoCode": currency,
                "Legal_Entity__c": entity,
            },
        )
        contract = self._org.create(
            CONTRACT,
            {
                "AccountId": customer.id,
                "Name": title or name,
                "Opportunity__c": deal.id,
                "StartDate": starts_on,
                "EndDate": ends_on,
                "CustomerSignedDate": signed_on,
                "Revision__c": 1,
                "Legal_Entity__c": entity,
                "Time_Zone__c": time_zone,
                "Period_Policy__c": period_policy,
                "CurrencyIsoCode": currency,
            },
        )
        rows = [
            self._org.create(LINE, {"CurrencyIsoCode": currency, **self._row(contract, line)})
            for line in lines
        ]
        self._org.update(CONTRACT, contract, {"Status": "Activated"})
        self._org.update(OPPORTUNITY, deal, {"StageName": "Closed Won", "ContractId": contract.id})
        return {
            "account": customer.id,
            "opportunity": deal.id,
            "contract": contract.id,
            "lines": [_line(row) for row in rows],
        }

    def amend_contract(
        self, contract: str, lines: list[dict[str, Any]], effective_on: str, reason: str
    ) -> dict[str, Any]:
        """Change a contract: `lines` are all rows it has from `effective_on`. A row with the same line,
        model, service, title and due day as before (or the same Id) keeps its id; a row that is not named
        any more is deleted. The revision grows by one."""
        held = self._org.require(CONTRACT, contract)
        old = [row for row in self._org.rows(LINE) if row.fields["Contract__c"] == held.id]
        blank = {field.name: None for field in LINE.fields if field.name.endswith("__c")}
        rows = []
        for line in lines:
            body = {**blank, **self._row(held, line)}
            body.pop("Id", None)
            same = next((row for row in old if _same(row, line)), None)
            if same is None:
                rows.append(
                    self._org.create(LINE, {"CurrencyIsoCode": held.fields["CurrencyIsoCode"], **body})
                )
            else:
                old.remove(same)
                self._org.update(LINE, same, body)
                rows.append(same)
        for row in old:
            self._org.delete(row)
        revision = int(held.fields["Revision__c"] or 0) + 1
        changes = {"Revision__c": revision, "Effective_On__c": effective_on, "Amendment_Reason__c": reason}
        self._org.update(CONTRACT, held, changes)
        return {"contract": held.id, "revision": revision, "lines": [_line(row) for row in rows]}

    def end_contract(self, contract: str, ended_on: str) -> dict[str, Any]:
        """Terminate a contract on `ended_on`."""
        held = self._org.require(CONTRACT, contract)
        self._org.update(CONTRACT, held, {"Status": "Terminated", "EndDate": ended_on})
        return {"contract": held.id}

    def add_account(self, name: str, **fields: Any) -> dict[str, Any]:
        """Add an account; other fields by their API names."""
        return {"account": self._org.create(ACCOUNT, {"Name": name, **fields}).id}

    def edit_account(self, account: str, **fields: Any) -> dict[str, Any]:
        """Change fields of an account, by their API names."""
        held = self._known(account)
        self._org.update(ACCOUNT, held, fields)
        return {"account": held.id}

    def delete_account(self, account: str) -> dict[str, Any]:
        """Move an account to the recycle bin."""
        held = self._known(account)
        self._org.delete(held)
        return {"account": held.id}

    def reopen_deal(self, opportunity: str) -> dict[str, Any]:
        """Put a won deal back to negotiation."""
        held = self._org.require(OPPORTUNITY, opportunity)
        if not held.fields["IsWon"]:
            raise ActRefused(f"{held.id} is not won")
        self._org.update(OPPORTUNITY, held, {"StageName": "Negotiation/Review"})
        return {"opportunity": held.id}

    def expire_sessions(self) -> dict[str, Any]:
        """End all sessions, as an administrator can; clients must log in again."""
        return {"expired": self._login.expire()}

    def use_up_calls(self, used: int) -> dict[str, Any]:
        """Say that `used` of the day's API calls are gone."""
        self._memory["api_used"] = used
        return {"used": used}

    def limit_batches(self, rows: int) -> dict[str, Any]:
        """Give at most `rows` records in one batch of a query, as a busy server may."""
        if rows < 1:
            raise ActRefused("rows must be at least 1")
        self._memory["batch_rows"] = rows
        return {"rows": rows}

    def expire_locators(self) -> dict[str, Any]:
        """Forget all query locators, as after two days."""
        return {"expired": len(self._memory.pop("locators", {}))}

    def set_duplicate_rule(self, object: str, field: str) -> dict[str, Any]:
        """Warn of new records of an object that are alike in a field; a client may save them all the same."""
        item = self._org.object(object)
        self._memory.setdefault("duplicate_rules", {})[item.name] = item.by_name[field.lower()].name
        return {"rules": self._memory["duplicate_rules"]}

    def begin_transaction(self) -> dict[str, Any]:
        """Hold back what people do from now on: it is stamped when it is done, and seen by others only after
        `commit_transaction`, as in a long job."""
        self._memory.setdefault("uncommitted", {})
        return {"open": True}

    def commit_transaction(self) -> dict[str, Any]:
        """Show what was held back, with its old stamps."""
        return {"committed": len(self._memory.pop("uncommitted", {}))}

    def allow_password_login(self) -> dict[str, Any]:
        """Let the integration user in by SOAP login(), as old orgs still do. Returns the password."""
        password, token = self._login.allow_password()
        return {"username": USERNAME, "password": password, "security_token": token}

    def _told(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """``act`` as done by a person; the org's refusal is told to them."""

        @functools.wraps(act)
        def told(*arguments: Any, **named: Any) -> Any:
            self._org.user_id = PERSON_ID
            try:
                return act(*arguments, **named)
            except OrgRefused as error:
                raise ActRefused(str(error)) from error
            finally:
                self._org.user_id = USER_ID

        return told

    def _row(self, contract: Record, line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "Contract__c": contract.id}

    def _account(self, name: str) -> Record | None:
        by_id = self._org.get(ACCOUNT, name)
        return by_id or next((row for row in self._org.rows(ACCOUNT) if row.fields["Name"] == name), None)

    def _known(self, name: str) -> Record:
        found = self._account(name)
        if found is None:
            raise ActRefused(f"no account {name!r}")
        return found


def _same(row: Record, line: dict[str, Any]) -> bool:
    if "Id" in line:
        return row.id == str(line["Id"])
    return all((row.fields[name] or None) == (line.get(name) or None) for name in LINE_IDENTITY)


def _line(row: Record) -> dict[str, Any]:
    return {"id": row.id, "line": row.fields["Line__c"], "title": row.fields["Title__c"]}
