import pytest
import tensorflow_datasets as tfds

from tfcnns.errors import UserError
from tfcnns.pipelines.imagenet_classes import imagenet_class_names, imagenet_wnids, readable


def test_names_are_in_the_order_of_tensorflow_datasets():
    names, wnids = imagenet_class_names(), imagenet_wnids()
    assert len(set(names)) == len(set(wnids)) == 1000
    assert list(wnids) == sorted(wnids)
    builder = tfds.builder("imagenet2012", data_dir="/nowhere")
    assert list(wnids) == builder.info.features["label"].names
    for number, name in (
        (0, "tench"),
        (207, "golden retriever"),
        (388, "giant panda"),
        (999, "toilet tissue"),
    ):
        assert names[number] == name
    assert (names[134], names[517]) == ("crane bird", "crane")


def test_order_of_the_released_overfeat_weights():
    names = imagenet_class_names("overfeat")
    assert names[:4] == ("kit fox", "English setter", "Siberian husky", "Australian terrier")
    assert names[428:430] == ("crane bird", "limpkin")
    assert names[-2:] == ("carbonara", "dumbbell")
    assert sorted(names) == sorted(imagenet_class_names())
    with pytest.raises(
        UserError, match=r"order must be one of wnid, overfeat\. Received: order='x'"
    ):
        imagenet_wnids("x")


def test_other_names_stay():
    assert readable(["n01440764", "cat"]) == ("tench", "cat")
