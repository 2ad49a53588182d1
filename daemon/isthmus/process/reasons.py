"""What ends each hold, in the words finance is told; `README.md` has the same reasons with their causes."""

from collections.abc import Mapping

__all__ = ["ENDS"]

ENDS: Mapping[str, str] = {
    "no_project": "the project is created",
    "no_contract": "a contract is signed for the project",
    "contract_not_started": "an amendment moves the start, or another contract covers the day",
    "contract_ended": "an amendment moves the end, or another contract covers the day",
    "no_line": "an amendment brings a line for it",
    "no_rate": "an amendment brings a rate",
    "currency_mismatch": "the expense is corrected to the contract's currency",
    "out_of_range": "the entry is corrected",
    "no_mapping": "the row is added to the configuration",
    "project_on_hold": "the stage changes, or the contract is amended or ended",
    "project_cancelled": "the stage changes, or the contract is amended or ended",
    "period_closed": "the period is reopened, or the contract's policy becomes next_open",
    "cap_reached": "a reversal makes room, or an amendment raises the cap",
    "bad_terms": "a newer revision of the contract",
    "cap_below_billed": "corrections or a re-rating bring the net under the cap, or a newer revision comes",
}
"""By reason of a hold: what makes the rules look again and decide otherwise."""
