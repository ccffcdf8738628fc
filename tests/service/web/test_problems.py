import html
import json
import re
from pathlib import Path

import pytest

from service.web.problem_types import ProblemType
from service.web.problems import FieldError, Problem, invalid
from tests.service.web.conftest import Client

SERVICE = Path(__file__).parents[3] / "service"


def test_slugs_are_words_with_dashes_and_none_means_two_things() -> None:
    slugs = [kind.slug for kind in ProblemType]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", slug) for slug in slugs)


def test_every_type_says_what_it_means_and_what_to_do() -> None:
    for kind in ProblemType:
        assert 400 <= kind.status < 600
        for sentence in (kind.meaning, kind.remedy):
            assert re.fullmatch(r"[A-Z/].*\.", sentence), sentence


@pytest.mark.parametrize("kind", ProblemType)
def test_every_type_is_used(kind: ProblemType) -> None:
    sources = [path.read_text() for path in SERVICE.rglob("*.py") if path.name != "problem_types.py"]
    assert any(re.search(rf"ProblemType\.{kind.name}\b", source) for source in sources)


@pytest.mark.parametrize("kind", ProblemType)
def test_a_type_leads_to_its_description(client: Client, kind: ProblemType) -> None:
    answer = client.get(kind.uri)
    assert (answer.status_code, answer.headers["location"]) == (307, f"../docs#{kind.slug}")
    assert f'<tr id="{kind.slug}">' in client.get("/docs").text


def test_a_document_has_the_members_of_rfc_9457() -> None:
    error = FieldError(field="seed", message="seed must be \ud800")
    problem = invalid(ProblemType.INVALID_FIELD, [error])
    assert json.loads(problem.document()) == {
        "type": "/problems/invalid-field",
        "title": "Invalid field",
        "status": 422,
        "detail": "seed must be \ud800.",
        "errors": [error],
    }
    assert problem.document().isascii()
    assert "errors" not in json.loads(Problem(ProblemType.NOT_FOUND, "No.").document())


@pytest.mark.parametrize("path", ["/images/none@1/1.png", "/images/rgb@1/1.png?truncation=9", "/nothing"])
def test_no_cache_keeps_an_error(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code >= 400
    assert answer.headers["cache-control"] == "no-store"


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize("path", ["/nothing", "/images/none@1/1.png", "/images/rgb@1/x.png"])
def test_a_person_gets_a_page_and_a_program_a_document(client: Client, path: str) -> None:
    page = client.get(path, headers={"accept": BROWSER})
    document = client.get(path)
    assert page.status_code == document.status_code
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "unsafe-inline" in page.headers["content-security-policy"]
    assert "script-src" not in page.headers["content-security-policy"]
    assert html.escape(document.json()["detail"]) in page.text
    assert document.headers["content-type"] == "application/problem+json"
    assert client.get(path, headers={"accept": "image/avif,image/webp,*/*;q=0.8"}).json() == document.json()
    assert client.get(path, headers={"accept": "image/png"}).json() == document.json()


def test_a_page_shows_what_was_asked_for_as_text(client: Client) -> None:
    page = client.get("/models/<script>", headers={"accept": BROWSER})
    assert page.status_code == 404
    assert "<script" not in page.text


def test_many_errors_are_cut_off() -> None:
    errors = [FieldError(field=f"seeds.{i}", message="wrong") for i in range(1000)]
    assert len(json.loads(invalid(ProblemType.INVALID_FIELD, errors).document())["errors"]) == 100
