from pathlib import Path

from service.contract.files import MAX_README
from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.app import make_app
from tests import tiny
from tests.service.web.conftest import Client


def test_models_are_described_by_their_cards(client: Client, renderer: Renderer) -> None:
    listed = client.get("/models").json()["models"]
    assert [(one["name"], one["version"]) for one in listed] == [("grey", 2), ("grey", 1), ("rgb", 1)]
    one = client.get("/models/rgb").json()
    assert one == client.get("/models/rgb@1").json() == {**listed[2], "versions": [1], "readme": None}
    (card,) = (model.card for model in renderer.library if model.card.name == "rgb")
    assert card.model_dump(mode="json", by_alias=True).items() <= one.items()
    assert (one["provider"], one["deterministic"], len(one["digest"])) == ("cpu", "exact", 64)


def test_other_versions_and_the_thumbnail_are_named(client: Client) -> None:
    one = client.get("/models/grey@1").json()
    assert (one["version"], one["versions"]) == (1, [2, 1])
    assert client.get(one["thumbnail"]).headers["x-model"] == "grey@1"


def test_a_readme_beside_a_model_is_shown_up_to_a_limit(tmp_path: Path) -> None:
    (tiny.write(tmp_path) / "README.md").write_bytes("# Tiny, \xfc\n".encode() + b"\xff" + b"." * MAX_README)
    renderer = Renderer(tmp_path)
    renderer.load()
    readme = Client(make_app(renderer, read_settings())).get("/models/tiny").json()["readme"]
    renderer.close()
    assert readme.startswith("# Tiny, \xfc\n\ufffd...")
    assert len(readme.encode()) < MAX_README + 100
