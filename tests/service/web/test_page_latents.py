"""The page's numbers are the server's: service/web/page/latents.js in Node, beside service/engine."""

import json
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.engine import latents
from service.engine.interpolation import slerp
from service.web.static_files import FOLDER

Run = Callable[[str, Any], Any]

SCRIPT = """
import { readFileSync } from "node:fs";
const { arithmetic, between, fromSeed, near } = await import(process.argv[2]);
const cases = JSON.parse(readFileSync(0));
process.stdout.write(JSON.stringify(cases.map((one) => { %s })));
"""
rng = np.random.default_rng(0)


@pytest.fixture
def run(tmp_path: Any) -> Run:
    """Return a function that runs JavaScript for each ``one`` of some cases, and returns what it returned."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    (tmp_path / "latents.mjs").write_bytes((FOLDER / "latents.js").read_bytes())

    def in_node(code: str, cases: Any) -> Any:
        (tmp_path / "run.mjs").write_text(SCRIPT % code)
        command = [node, str(tmp_path / "run.mjs"), str(tmp_path / "latents.mjs")]
        done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return in_node


def test_the_page_makes_the_latents_that_the_server_makes(run: Run) -> None:
    cases = [(0, 1), (1, 7), (2**31, 64), (2**32 - 1, 1000), *((int(s), 64) for s in rng.integers(2**32, size=200))]
    for (seed, size), made in zip(cases, run("return [...fromSeed(...one)];", cases), strict=True):
        np.testing.assert_array_equal(np.float32(made), latents.from_seed(seed, size))


def normal(size: int, scale: float = 1.0) -> np.ndarray:
    return (scale * rng.standard_normal(size)).astype(np.float32)


LATENT = normal(64)
PAIRS = {
    "two seeds": (latents.from_seed(1, 8), latents.from_seed(2, 8)),
    "many numbers": (normal(512), normal(512)),
    "two numbers": (normal(2), normal(2)),
    "one number": (normal(1), -normal(1)),
    "a long and a short one": (normal(64, 5), normal(64, 0.1)),
    "nearly parallel": (LATENT, LATENT + normal(64, 1e-4)),
    "parallel": (LATENT, 2 * LATENT),
    "the same": (LATENT, LATENT),
    "opposite": (LATENT, -LATENT),
    "opposite and longer": (LATENT, -3 * LATENT),
    "nearly opposite": (LATENT, -LATENT + normal(64, 1e-3)),
    "from nothing": (np.zeros(64, np.float32), LATENT),
    "to nothing": (LATENT, np.zeros(64, np.float32)),
}


def test_sums_and_neighbours_are_as_long_as_other_latents(run: Run) -> None:
    code = """
        const of = (seed) => fromSeed(seed, 64);
        return [arithmetic(of(1), of(2), of(one)), near(of(1), of(one), 0.3)].map((made) => [...made]);
    """
    for sum_, neighbour in run(code, [3, 4, 5]):
        np.testing.assert_allclose([np.linalg.norm(sum_), np.linalg.norm(neighbour)], 8, rtol=1e-5)
    one, two, three = (latents.from_seed(seed, 64).astype(float) for seed in (1, 2, 3))
    away = one - two + three
    np.testing.assert_allclose(run(code, [3])[0][0], away * 8 / np.linalg.norm(away), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("steps", [3, 48])
def test_the_page_walks_the_path_that_the_server_interpolates(run: Run, pair: str, steps: int) -> None:
    start, end = PAIRS[pair]
    case = [[float(number) for number in latent] for latent in (start, end)]
    code = f"""
        const [from, to] = one.map((latent) => Float32Array.from(latent));
        return Array.from({{ length: {steps} }}, (_, i) => [...between(from, to, i / ({steps} - 1))]);
    """
    (made,) = run(code, [case])
    np.testing.assert_allclose(np.float32(made), slerp(start, end, steps), rtol=1e-5, atol=2e-6)
    np.testing.assert_array_equal(np.float32(made[0]), start)
    np.testing.assert_array_equal(np.float32(made[-1]), end)
