import numpy as np
import pytest

from tfcnns.errors import UserError
from tfcnns.pipelines.splits import SPLITS, choose, rows


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        (
            ["train", "validation", "test"],
            [
                (("train",), None),
                (("validation",), None),
                (("train", "validation"), None),
                (("test",), None),
            ],
        ),
        (
            ["test", "train"],
            [(("train",), False), (("train",), True), (("train",), None), (("test",), None)],
        ),
        (
            ["train", "validation"],
            [(("train",), False), (("train",), True), (("train",), None), (("validation",), None)],
        ),
    ],
)
def test_where_splits_come_from(available, expected):
    assert [choose(split, available, "x") for split in SPLITS] == expected


def test_held_out_rows_and_the_others_are_all():
    held, others = rows(True, 25, 10, "x"), rows(False, 25, 10, "x")
    assert held.tolist() == [9, 19]
    assert sorted([*held, *others]) == list(range(25))
    assert np.all(np.diff(others) > 0)


def test_what_there_is_too_little_of():
    with pytest.raises(UserError, match="DIR has no test images; it has train"):
        choose("test", ["train"], "DIR")
    with pytest.raises(UserError, match="DIR has no train images; it has test"):
        choose("train", ["test"], "DIR")
    with pytest.raises(UserError, match="DIR has 9 training images, too few to hold some out"):
        rows(True, 9, 10, "DIR")
    with pytest.raises(UserError, match="Received: split='val'"):
        choose("val", SPLITS, "DIR")
