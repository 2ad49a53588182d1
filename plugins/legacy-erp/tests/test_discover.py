"""What an admin is told is there, before the settings are right."""

from typing import Any

import pytest

from isthmus.sdk import Retryable


async def test_companies_and_used_up_numbers_are_shown(both: Any) -> None:
    async with both.open() as opened:
        await both.introduce(opened)
        await both.send(opened, both.charge())
        both.sim.run_jobs()
        both.sim.close_period("2026-10")
    async with both.open(company="WRONG") as opened:
        found = await opened.discover.found()
    assert [each.id for each in found if each.setting == "company"] == ["ACME"]
    last = {each.name: each.id for each in found if each.setting == "first_seq"}
    assert last.items() >= {"charges of ACME": "1", "customers of ACME": "1", "projects of ACME": "1"}.items()


async def test_a_place_that_is_not_there_is_said(both: Any, tmp_path: Any) -> None:
    for path in both.sim.drop_dir.iterdir():
        path.rename(tmp_path / f"away {path.name}")
    async with both.open() as opened:
        with pytest.raises(Retryable):
            await opened.discover.found()
