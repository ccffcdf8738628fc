import re
from pathlib import Path

import pytest

from docs.tables import FOLDER, TABLES, fill
from service.formats.registry import FORMATS
from service.settings import Settings
from service.telemetry.metrics import exposition
from service.web.problem_types import ProblemType

PAGES = sorted(FOLDER.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_tables_say_what_the_code_says(page: Path) -> None:
    text = page.read_text()
    assert fill(text) == text, "run: python -m docs.tables"


def test_every_table_is_in_one_page() -> None:
    found = [name for page in PAGES for name in re.findall(r"<!-- table: (\w+) -->", page.read_text())]
    assert sorted(found) == sorted(TABLES)


def test_a_table_has_a_row_for_each_thing_and_every_row_a_meaning() -> None:
    rows = {name: list(table())[1:] for name, table in TABLES.items()}
    assert [row[0] for row in rows["settings"]] == [f"`NELUMBO_{name.upper()}`" for name in Settings.model_fields]
    assert {f"`GET {path}`" for path in ("/readyz", "/models", "/metrics")} < {row[0] for row in rows["routes"]}
    assert ["`nelumbo_requests_total`", "counter", "route, method, status", "Requests answered"] in rows["metrics"]
    told = re.findall(r"^# TYPE (nelumbo_\w+)", exposition([("tiny@1", "0", "cpu")]).decode(), re.MULTILINE)
    assert {f"`{name}`" for name in told if not name.endswith("_created")} == {row[0] for row in rows["metrics"]}
    assert {"`critic.minibatch_std`", "`batch`"} < {row[0] for row in rows["recipe"]}
    assert [row[0] for row in rows["problems"]] == [f"`{kind.slug}`" for kind in ProblemType]
    assert [row[0] for row in rows["formats"]] == [f"`{one.name}`" for one in FORMATS]
    for name, meaning in {"problems": 3, "formats": 5, "settings": 3, "routes": 1, "metrics": 3, "recipe": 3}.items():
        assert all(row[meaning] for row in rows[name]), name
