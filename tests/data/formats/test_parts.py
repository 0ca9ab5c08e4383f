from __future__ import annotations

import pytest

from emoprune.data.formats.parts import declared_parts, note_spelling, part_of, spelled_parts
from emoprune.errors import BadData

SPELLINGS = {
    "train": "train Train TRAIN training Training trainset train_set TrainSet TRAIN-DATA img_train 01_train",
    "val": "val Val valid validation Validation dev PublicTest publictest val2017 Val_Aligned_Faces",
    "test": "test Test testing eval evaluation PrivateTest test_set testset TESTset Test-images",
    None: "happy contempt attest tests trains fold1 dataset images face1 training_films train_test dev_a",
}


@pytest.mark.parametrize(
    ("name", "part"), [(name, part) for part, names in SPELLINGS.items() for name in names.split()]
)
def test_part_of_knows_the_usual_spellings(name: str, part: str | None) -> None:
    assert part_of(name) == part


def test_spelled_parts_refuses_two_names_of_one_part() -> None:
    assert spelled_parts(["Train", "valid", "angry"]) == {"Train": "train", "valid": "val"}
    with pytest.raises(BadData, match=r"has val and valid, and both mean val; join them, or name them train"):
        spelled_parts(["train", "val", "valid"])


def test_note_spelling_tells_what_is_not_spelled_as_ours(told: pytest.LogCaptureFixture) -> None:
    note_spelling("faces", {"train": "train", "test": "test"})
    note_spelling("faces", {"test_set": "test", "Train": "train", "val": "val"})
    assert told.messages == ["faces: reads Train as train, test_set as test"]


def test_declared_parts_are_in_order_without_absent_ones() -> None:
    found = declared_parts(["test/a/1", "train/a/2"])
    assert found is not None
    assert list(found.items()) == [("train", (1,)), ("test", (0,))]
    assert declared_parts(["PrivateTest/a/1", "Training/a/2", "valid/a/3"]) == {
        "train": (1,),
        "val": (2,),
        "test": (0,),
    }


@pytest.mark.parametrize("names", [[], ["a/1"], ["train/a/1", "b/2"], ["train"], ["trainings/a/1"]])
def test_declared_parts_is_none_for_a_name_outside_the_parts(names: list[str]) -> None:
    assert declared_parts(names) is None
