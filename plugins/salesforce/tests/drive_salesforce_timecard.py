"""Drives PyPI's salesforce-timecard, unchanged, and prints what it saw as one JSON object.

Run by test_salesforce_timecard.py in a process of its own, whose only way out is the proxy. The client was
written for pydantic 1, which pydantic 2 still carries; it imports keyring, which it asks for passwords only
when its configuration says so.
Arguments: its configuration file, and the Monday of a week.
"""

import json
import sys
import types
from typing import Any

import pydantic.v1

sys.modules["pydantic"] = pydantic.v1
sys.modules["keyring"] = types.ModuleType("keyring")
from salesforce_timecard.core import TimecardEntry  # noqa: E402  only now is its world as it was

config_file, monday = sys.argv[1], sys.argv[2]
day, month, year = monday[8:], monday[5:7], monday[:4]

te: Any = TimecardEntry(cfg=config_file)
te.get_week(f"{day}-{month}-{year}")
seen: dict[str, Any] = {
    "contact": te.contact_id,
    "assignments": {a["assignment_name"]: a["billable"] for a in te.assignments.values()},
    "global": [p["project_name"] for p in te.global_project.values()],
}
(assignment,) = te.assignments
(internal,) = te.global_project
te.add_time_entry(assignment, "Monday", 8, "workshop")
te.add_time_entry(assignment, "Tuesday", 6.5, "follow-up")
te.add_time_entry(internal, "Friday", 2, "training")
start, end = te.start.strftime("%Y-%m-%d"), te.end.strftime("%Y-%m-%d")
cards = te.list_timecard(True, start, end)
seen["cards"] = sorted(
    [card["pse__Project_Name__c"], card["pse__Monday_Hours__c"], card["pse__Tuesday_Hours__c"]]
    for card in cards
)
for card in cards:
    id = te.get_timecard_id(card["Name"])
    if card["pse__Assignment__c"] == assignment:
        te.submit_time_entry(id)
        seen["submitted"] = id
    else:
        te.delete_time_entry(id)
seen["left"] = [card["pse__Status__c"] for card in te.list_timecard(False, start, end)]
print(json.dumps(seen))
