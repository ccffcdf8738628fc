from fnmatch import fnmatchcase

import numpy as np

from training.metrics import meaning
from training.metrics.meaning import Compared
from training.metrics.tables import METRICS, Reals


def said(**scores: tuple[float, float, float]) -> list[str]:
    return list(meaning.sentences({name.replace("_", "-"): Compared(*score) for name, score in scores.items()}))


def test_every_figure_of_an_evaluation_has_a_meaning() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)
    from pathlib import Path

    reals = Reals(Path(), noise[:20], labels=None)
    measures = [measure for metric in METRICS.values() if (measure := metric(reals))]
    names = [name for measure in measures for name in measure(noise[20:])]
    assert {"random-conv-kd", "swd", "grid"} <= set(names)
    for name in (*names, "nearest", "copies", "efficientnet-lite2-copies", "fid", "digit-3", "stacked-kl"):
        found = meaning.of(name)
        assert found is not None, name
        assert found.good in ("low", "high", "1", "as real", "1000")


def test_no_pattern_is_hidden_behind_an_earlier_one() -> None:
    patterns = list(meaning.MEANINGS)
    for i, pattern in enumerate(patterns):
        assert not any(fnmatchcase(pattern.replace("*", "x"), earlier) for earlier in patterns[:i]), pattern


def test_samples_are_told_from_real_images_beyond_two_errors() -> None:
    (like,) = said(objects_kd=(0.01, 0.02, 0.0))
    (unlike,) = said(objects_kd=(0.1, 0.02, 0.0), other_kd=(0, 1, 0))
    assert like.endswith("as real images")
    assert "can be told from real images" in unlike


def test_one_picture_varied_is_said_by_recall() -> None:
    assert said(objects_recall=(0.7, 0.05, 0.8)) == []
    (sentence,) = said(objects_recall=(0.02, 0.01, 0.8))
    assert "little variety" in sentence


def test_artefacts_and_copies_are_said_where_they_are() -> None:
    assert said(grid=(1.2, 0.1, 1), rim=(1.4, 0.1, 1), copies=(0.05, 0.01, 0.07)) == []
    assert len(said(grid=(1.6, 0.1, 1), rim=(2, 0.1, 1), copies=(0.3, 0.02, 0.07))) == 3
