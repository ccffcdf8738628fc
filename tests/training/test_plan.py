import re

from tests.training.conftest import tiny_recipe
from training import plan
from training import recipe as recipes
from training.device import choose
from training.images import Report, Skipped
from training.plan import data_lines, estimate, images_per_second


def report(**changes: object) -> Report:
    found = {"modes": {"RGB": 20, "L": 1}, "sizes": {"300x200": 18, "4000x3000": 2, "40x900": 1}}
    values = {"name": "cats", "source": "/cats", "count": 21, "digest": "", "skipped": [], **found, **changes}
    return Report.model_validate(values)


def test_the_data_report_lists_modes_sizes_and_enlarged_images() -> None:
    assert list(data_lines(report(), 64)) == [
        "data: 21 images from /cats, 0 skipped",
        "  modes: RGB 20, L 1",
        "  sizes: 40x900 to 4000x3000, 3 different",
        "  1 have a side shorter than 64 pixels and are enlarged",
    ]


def test_what_is_cut_off_transparent_or_there_twice_is_said() -> None:
    cut = {"a.jpg": 0.6, "panorama.jpg": 0.97}
    lines = list(data_lines(report(cut_off=cut, transparent=3, duplicates={"b.png": "a.png"}), 16))[3:]
    assert [any(part in line for line in lines) for part in ("97% of panorama.jpg", "of 1 more")] == [True, True]
    assert [any(part in line for line in lines) for part in ("--background", "b.png", "--crop pad")] == [True] * 3


def test_a_long_list_of_skipped_files_is_truncated() -> None:
    skipped = [Skipped(file=f"{i}.png", reason="too small (8x8)") for i in range(25)]
    lines = list(data_lines(report(skipped=skipped, sizes={"64x64": 21}), 64))
    assert lines[2:4] == ["  sizes: 64x64", "  skipped 0.png: too small (8x8)"]
    assert lines[-1] == "  … and 15 more, listed in data.json"


def test_the_estimate_is_measured_and_labelled_as_an_estimate() -> None:
    measured = images_per_second(tiny_recipe(), choose("cpu"))
    speed, memory = estimate(tiny_recipe(), 400, choose("cpu"), measured)
    assert re.fullmatch(r"estimate: [\d,]+ images/s, \d+ minutes for 0.32 kimg, if .*", speed)
    assert re.fullmatch(r"estimate: \d+\.\d GiB of memory", memory)


def test_a_lazy_penalty_is_in_the_estimate() -> None:
    assert plan.MEASURED_STEPS % max(recipes.load(name).objective.penalty_every for name in recipes.names()) == 0
