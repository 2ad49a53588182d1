"""The ERP's own rules: what it posts, and the words with which it refuses a line."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from isthmus.sdk.simulator import Ledger
from isthmus_legacy_erp.simulator.copybook import Record


class LineRefused(Exception):
    """One line that is not posted: a code and a text."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(f"{code} {words}")
        self.code, self.words = code, words


class Books:
    """Posts lines to the ledger. References are unique per kind, which is the third guard against doubles."""

    def __init__(self, ledger: Ledger, memory: dict[str, Any], currency: str) -> None:
        self._ledger = ledger
        self._memory = memory
        self._currency = currency

    def post(self, interface: str, line: Record, at: datetime) -> tuple[str, str]:
        """Post one line; its document or master data number, and a remark.

        Raises:
            LineRefused: the line is not posted.
        """
        match interface:
            case "customers":
                return self._master("customer", "C", self._customer(line), line, at)
            case "projects":
                return self._master("project", "P", self._project(line), line, at)
        return self._charge(line, at)

    def next_no(self, kind: str, form: str) -> str:
        """The next number of a kind; ``form`` takes it."""
        ids: dict[str, int] = self._memory["ids"]
        ids[kind] = ids.get(kind, 0) + 1
        return form.format(ids[kind])

    def _customer(self, line: Record) -> dict[str, Any]:
        return {
            "name": line["CUST-NAME"],
            "currency": line["CUST-CURRENCY"],
            "tax_id": line["TAX-ID"],
            "address": line["CUST-ADDRESS"],
            "status": line["CUST-STATUS"],
        }

    def _project(self, line: Record) -> dict[str, Any]:
        if self._ledger.get("customer", str(line["CUSTOMER-NO"])) is None:
            raise LineRefused("CUST", f"CUSTOMER {line['CUSTOMER-NO']} UNKNOWN")
        return {
            "name": line["PROJ-NAME"],
            "customer": line["CUSTOMER-NO"],
            "contract": line["CONTRACT-REF"],
            "manager": line["MANAGER"],
            "starts_on": line["STARTS-ON"],
            "stage": line["STAGE"],
            "billing": line["BILLING"],
            "currency": line["PROJ-CURRENCY"],
            "budget": str(line["BUDGET"]),
        }

    def _master(
        self, kind: str, letter: str, fields: dict[str, Any], line: Record, at: datetime
    ) -> tuple[str, str]:
        """Create or update by reference; an older revision than the one held changes nothing."""
        ref, revision = str(line["EXT-REF"]), int(line["REVISION"])
        refs: dict[str, str] = self._memory["refs"].setdefault(kind, {})
        fields = {**fields, "revision": revision}
        if ref not in refs:
            number = self.next_no(kind, f"{letter}{{:05d}}")
            refs[ref] = number
            self._ledger.create(kind, number, fields, at=at, external_key=ref)
            return number, "CREATED"
        record = self._ledger.get(kind, refs[ref])
        assert record is not None, "references name records"
        if revision <= record.fields["revision"]:
            return record.id, "NOT NEWER, UNCHANGED"
        self._ledger.update(record, fields, at=at)
        return record.id, "UPDATED"

    def _charge(self, line: Record, at: datetime) -> tuple[str, str]:
        ref, amount = str(line["EXT-REF"]), line["AMOUNT"]
        refs: dict[str, str] = self._memory["refs"].setdefault("charge", {})
        if ref in refs:
            posted = self._ledger.get("charge", refs[ref])
            assert posted is not None, "references name records"
            if Decimal(posted.fields["amount"]) != amount:
                raise LineRefused("DUPL", f"ALREADY POSTED AS {posted.id} WITH {posted.fields['amount']}")
            return posted.id, "ALREADY POSTED"
        project = self._ledger.get("project", str(line["PROJECT-NO"]))
        if project is None:
            raise LineRefused("PROJ", f"PROJECT {line['PROJECT-NO']} UNKNOWN")
        if line["CHG-CURRENCY"] != self._currency:
            raise LineRefused("CURR", f"LEDGER CURRENCY IS {self._currency}")
        posting_on = _day(line["POSTING-ON"])
        if posting_on[:7] in self._memory["closed"]:
            raise LineRefused("PERI", f"PERIOD {posting_on[:7]} IS CLOSED")
        if line["REVERSES-REF"] and line["REVERSES-REF"] not in refs:
            raise LineRefused("REVS", f"REVERSED CHARGE {line['REVERSES-REF']} NOT POSTED")
        number = self.next_no("charge", "D{:07d}")
        refs[ref] = number
        fields = {
            "project": project.id,
            "customer": project.fields["customer"],
            "reverses": line["REVERSES-REF"] or None,
            "contract_line": line["CONTRACT-LINE"],
            "origin": line["ORIGIN"],
            "service": line["SERVICE"],
            "quantity": str(line["QUANTITY"]),
            "unit_price": str(line["UNIT-PRICE"]),
            "amount": str(amount),
            "currency": line["CHG-CURRENCY"],
            "earned_on": _day(line["EARNED-ON"]),
            "posting_on": posting_on,
            "dimensions": line["DIMENSIONS"],
            "text": line["LINE-TEXT"],
            "invoice": None,
        }
        self._ledger.create("charge", number, fields, at=at, external_key=ref)
        return number, ""


def _day(number: str | Decimal) -> str:
    digits = f"{int(number):08d}"
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:]}"
