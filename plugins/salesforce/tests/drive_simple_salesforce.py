"""Drives PyPI's simple-salesforce, unchanged, and prints what it saw as one JSON object.

Run by test_simple_salesforce.py in a process of its own, whose only way out is the proxy.
Arguments: a JSON object with client_id, client_secret, username, key_file, my_domain.
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import requests
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
)

given = json.loads(sys.argv[1])
seen: dict[str, Any] = {}


def refusal(work: Any, kind: type[Exception]) -> Any:
    """What the client raised, as it shows it."""
    try:
        work()
    except kind as error:
        content = getattr(error, "content", None)
        return content[0]["errorCode"] if isinstance(content, list) and isinstance(content[0], dict) else True
    return None


def log_in(**changes: Any) -> Salesforce:
    by_key = {
        "username": given["username"],
        "consumer_key": given["client_id"],
        "privatekey_file": given["key_file"],
        "domain": "login",
    }
    return Salesforce(**{**by_key, **changes})


sf: Any = log_in()
seen["instance"] = sf.sf_instance
seen["sandbox"] = sf.is_sandbox()
by_secret = Salesforce(
    consumer_key=given["client_id"],
    consumer_secret=given["client_secret"],
    domain=given["my_domain"].removesuffix(".salesforce.com"),
)
seen["by_secret"] = by_secret.query("SELECT COUNT() FROM Account")["totalSize"]
seen["wrong_app"] = refusal(lambda: log_in(consumer_key="wrong"), SalesforceAuthenticationFailed)
seen["password"] = refusal(
    lambda: Salesforce(username="u", password="p", security_token="t"), SalesforceAuthenticationFailed
)

everyone = sf.query_all("SELECT Id, Name, Owner.Username FROM Account ORDER BY Name")
seen["accounts"] = [record["Name"] for record in everyone["records"]]
seen["owner"] = everyone["records"][0]["Owner"]["Username"]
seen["lazily"] = sum(1 for _ in sf.query_all_iter("SELECT Id FROM Account", include_deleted=True))
seen["named"] = [item["name"] for item in (sf.describe() or {})["sobjects"]]
seen["fields"] = len(sf.Invoice__c.describe()["fields"])

seen["upserts"] = [
    sf.Invoice__c.upsert("Isthmus_Key__c/erp%3A1", {"Number__c": "INV-1", "Total__c": 12345678.9}),
    sf.Invoice__c.upsert("Isthmus_Key__c/erp%3A1", {"Status__c": "Paid"}),
]
invoice = sf.Invoice__c.get_by_custom_id("Isthmus_Key__c", "erp:1")
seen["invoice"] = [invoice["Number__c"], invoice["Total__c"], invoice["Status__c"]]

made = sf.Contact.create({"LastName": "Smith", "Email": "smith@example.com"})
sf.Contact.update(made["id"], {"LastName": "Jones"})
seen["contact"] = sf.Contact.get(made["id"])["Name"]
seen["deleted"] = sf.Contact.delete(made["id"])
now = datetime.now(UTC)
gone = sf.Contact.deleted(now - timedelta(days=1), now + timedelta(days=1))
seen["gone"] = [entry["id"] for entry in gone["deletedRecords"]] == [made["id"]]

seen["bad_query"] = refusal(lambda: sf.query("SELECT Nope FROM Account"), SalesforceMalformedRequest)
seen["bad_body"] = refusal(
    lambda: sf.Invoice__c.upsert("Isthmus_Key__c/erp%3A1", {"Isthmus_Key__c": "x"}),
    SalesforceMalformedRequest,
)
seen["missing"] = refusal(lambda: sf.Account.create({"Phone": "1"}), SalesforceMalformedRequest)
seen["nowhere"] = refusal(lambda: sf.Account.get("001000000000009AAA"), SalesforceResourceNotFound)
seen["several"] = refusal(
    lambda: sf.Account.upsert("External_Key__c/same", {"Phone": "1"}), SalesforceMoreThanOneRecord
)
seen["usage"] = sf.limits()["DailyApiRequests"]["Max"] == sf.api_usage["api-usage"].total

old_token = sf.session_id
control = requests.post(f"https://{given['my_domain']}/_sim/do", json={"act": "expire_sessions"}, timeout=10)
control.raise_for_status()
seen["renewed"] = sf.query("SELECT COUNT() FROM Account")["totalSize"] == len(seen["accounts"])
direct = Salesforce(session_id=old_token, instance=given["my_domain"])
seen["expired"] = refusal(lambda: direct.query("SELECT Id FROM Account"), SalesforceExpiredSession)

try:
    requests.get("https://example.com/", timeout=10)
except requests.exceptions.ProxyError:
    seen["elsewhere"] = "refused"

print(json.dumps(seen))
