"""schemathesis against the document: no 5xx, no answer the document does not have, nothing wrong is taken."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup

from isthmus.services.document import openapi
from isthmus.services.operations import PREFIX
from tests.services.fuzzed import SETTINGS, TOKEN, served

EXAMPLES = 60

with pytest.MonkeyPatch.context() as patch:
    patch.setenv("ISTHMUS_API_TOKEN", TOKEN)
    config = SchemathesisConfig.from_path(SETTINGS)
config.projects.default.generation.update(max_examples=EXAMPLES)
document = schemathesis.openapi.from_dict(openapi(), config=config)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served() as found:
        yield found


@document.parametrize()
def test_every_operation_keeps_its_contract_whatever_comes(case: schemathesis.Case[Any], url: str) -> None:
    case.call_and_validate(base_url=url)


def test_mutant_a_service_that_breaks_is_noticed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isthmus.services.app.feed_page", lambda tx, query, at: 1 // 0)
    case = document[f"{PREFIX}/feed"]["GET"].Case(headers={"Authorization": f"Bearer {TOKEN}"})
    with pytest.raises(FailureGroup, match="Server error"):
        case.call_and_validate(base_url=url)


def test_mutant_an_answer_that_is_not_in_the_document_is_noticed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isthmus.services.app.feed_page", lambda tx, query, at: {"items": "all"})
    case = document[f"{PREFIX}/feed"]["GET"].Case(headers={"Authorization": f"Bearer {TOKEN}"})
    with pytest.raises(FailureGroup, match="Response violates schema"):
        case.call_and_validate(base_url=url)
