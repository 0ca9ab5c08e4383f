import json
import os
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from emoprune.data.formats.image_folders import open_folder, open_unlabeled
from emoprune.data.formats.parts import declared_parts
from emoprune.errors import BadData
from emoprune.faces.output_folder import SCHEMA
from emoprune.faces.types import CropSettings
from tests.support.records import lay

USUAL = ("happy/b.jpg", "happy/a.png", "angry/c.jpg", "angry/d.JPG", "sad/e.webp")


@pytest.fixture
def usual(tmp_path: Path) -> Path:
    return lay(tmp_path / "faces", USUAL)


def test_open_folder_sorts_classes_and_pictures(usual: Path) -> None:
    folder = open_folder(str(usual))
    catalog = folder.catalog
    assert catalog.classes == ("angry", "happy", "sad")
    assert catalog.names == tuple(sorted(USUAL))
    assert catalog.place == str(usual)
    assert folder.paths == tuple(usual / name for name in catalog.names)


def test_open_folder_knows_how_its_pictures_were_cropped(usual: Path) -> None:
    assert open_folder(str(usual)).crop is None
    crop = CropSettings(margin=0.3, align="eyes")
    (usual / "crop.json").write_text(json.dumps({"schema": SCHEMA, **asdict(crop)}))
    assert open_folder(str(usual)).crop == crop


@given(
    st.lists(st.tuples(st.sampled_from("abCé1"), st.text("abAB19_- ü", min_size=1, max_size=6)), min_size=1)
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_open_folder_finds_every_picture_once_with_its_class(
    tmp_path_factory: pytest.TempPathFactory, files: list[tuple[str, str]]
) -> None:
    names = {f"class {top}/{stem}.jpg" for top, stem in files}
    catalog = open_folder(str(lay(tmp_path_factory.mktemp("faces"), names))).catalog
    assert set(catalog.names) == names
    assert len(catalog.names) == len(names)
    assert list(catalog.classes) == sorted({name.split("/")[0] for name in names})
    for name, label in zip(catalog.names, catalog.labels, strict=True):
        assert catalog.classes[label] == name.split("/")[0]


def test_open_folder_ignores_hidden_and_other_files(usual: Path) -> None:
    before = open_folder(str(usual)).catalog
    lay(
        usual,
        (
            ".thumbs/x.jpg",
            ".DS_Store",
            "happy/.hidden.jpg",
            "happy/.cache/y.jpg",
            "happy/notes.txt",
            "crops.csv",
            "failures.csv",
        ),
    )
    assert open_folder(str(usual)).catalog == before


def test_open_folder_counts_deeper_folders_to_their_class(usual: Path) -> None:
    lay(usual, ("happy/film1/scene2/z.jpg",))
    catalog = open_folder(str(usual)).catalog
    assert catalog.classes == ("angry", "happy", "sad")
    assert catalog.labels[catalog.names.index("happy/film1/scene2/z.jpg")] == 1


def test_open_folder_ignores_a_folder_named_like_a_picture(usual: Path) -> None:
    lay(usual, ("happy/album.jpg/z.jpg",))
    names = open_folder(str(usual)).catalog.names
    assert set(names) == {*USUAL, "happy/album.jpg/z.jpg"}


def test_open_folder_reads_parts_with_the_same_classes(tmp_path: Path) -> None:
    names = ("train/happy/a.jpg", "train/sad/b.jpg", "val/happy/c.jpg", "test/sad/d.jpg")
    catalog = open_folder(str(lay(tmp_path, names))).catalog
    assert catalog.classes == ("happy", "sad")
    assert dict(zip(catalog.names, catalog.labels, strict=True)) == {
        "train/happy/a.jpg": 0,
        "train/sad/b.jpg": 1,
        "val/happy/c.jpg": 0,
        "test/sad/d.jpg": 1,
    }


def test_open_folder_refuses_parts_beside_classes(usual: Path) -> None:
    lay(usual, ("train/happy/a.jpg",))
    with pytest.raises(BadData, match=r"has train/ beside angry/") as caught:
        open_folder(str(usual))
    assert caught.value.place == str(usual)


@pytest.mark.parametrize("loose", ["loose.jpg", "loose.PNG"])
def test_open_folder_names_a_picture_without_a_class(usual: Path, loose: str) -> None:
    lay(usual, (loose,))
    with pytest.raises(BadData, match=f"{loose} is in no class folder"):
        open_folder(str(usual))


@pytest.mark.parametrize("loose", ["loose.jpg", "train/loose.jpg", "test/loose.jpg"])
def test_open_folder_names_a_picture_without_a_class_in_parts(tmp_path: Path, loose: str) -> None:
    lay(tmp_path, ("train/happy/a.jpg", "test/happy/b.jpg", loose))
    with pytest.raises(BadData, match=r"loose\.jpg is in no class folder"):
        open_folder(str(tmp_path))


def test_open_folder_refuses_pictures_without_class_folders(tmp_path: Path) -> None:
    lay(tmp_path, ("a.jpg", "b.jpg"))
    with pytest.raises(BadData, match=r"a\.jpg is in no class folder; give a folder with one folder"):
        open_folder(str(tmp_path))


@pytest.mark.parametrize("inside", [(), ("none/notes.txt",), ("none/.a.jpg",), ("none/.thumbs/a.jpg",)])
def test_open_folder_names_a_class_without_pictures(usual: Path, inside: tuple[str, ...]) -> None:
    (usual / "none").mkdir()
    lay(usual, inside)
    with pytest.raises(BadData, match="class folder none/ has no pictures"):
        open_folder(str(usual))


@pytest.mark.parametrize("inside", [(), ("notes.txt",), (".hidden/a.jpg",)])
def test_open_folder_refuses_a_folder_without_classes(tmp_path: Path, inside: tuple[str, ...]) -> None:
    with pytest.raises(BadData, match="no pictures in class folders"):
        open_folder(str(lay(tmp_path, inside)))


def test_open_folder_names_a_broken_link(usual: Path) -> None:
    (usual / "sad" / "gone.jpg").symlink_to(usual / "nowhere.jpg")
    with pytest.raises(BadData) as caught:
        open_folder(str(usual))
    assert caught.value.place == str(usual / "sad" / "gone.jpg")


def test_open_folder_reads_the_target_of_a_link(usual: Path, tmp_path: Path) -> None:
    before = open_folder(str(usual)).catalog.fingerprint
    (usual / "sad" / "e.webp").rename(tmp_path / "elsewhere.webp")
    (usual / "sad" / "e.webp").symlink_to(tmp_path / "elsewhere.webp")
    assert open_folder(str(usual)).catalog.fingerprint == before


def test_fingerprint_does_not_depend_on_place_or_time(usual: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(usual, tmp_path / "other" / "place")
    for path in copied.rglob("*.jpg"):
        os.utime(path, (1, 1))
    assert open_folder(str(copied)).catalog.fingerprint == open_folder(str(usual)).catalog.fingerprint


def test_fingerprint_does_not_depend_on_how_the_place_is_written(
    usual: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(usual)
    prints = {open_folder(place).catalog.fingerprint for place in (".", str(usual), f"{usual}/", "../faces")}
    assert len(prints) == 1


def test_fingerprint_changes_with_content_name_class_and_number(usual: Path) -> None:
    seen = [open_folder(str(usual)).catalog.fingerprint]
    (usual / "happy" / "b.jpg").write_bytes(b"other")
    seen.append(open_folder(str(usual)).catalog.fingerprint)
    (usual / "happy" / "b.jpg").rename(usual / "happy" / "bb.jpg")
    seen.append(open_folder(str(usual)).catalog.fingerprint)
    (usual / "happy" / "bb.jpg").rename(usual / "sad" / "bb.jpg")
    seen.append(open_folder(str(usual)).catalog.fingerprint)
    (usual / "sad").rename(usual / "zad")
    seen.append(open_folder(str(usual)).catalog.fingerprint)
    (usual / "angry" / "c.jpg").unlink()
    seen.append(open_folder(str(usual)).catalog.fingerprint)
    assert len(set(seen)) == len(seen)


def test_fingerprint_changes_when_two_pictures_are_exchanged(usual: Path) -> None:
    before = open_folder(str(usual)).catalog.fingerprint
    one, other = usual / "happy" / "a.png", usual / "happy" / "b.jpg"
    left, right = one.read_bytes(), other.read_bytes()
    one.write_bytes(right)
    other.write_bytes(left)
    assert open_folder(str(usual)).catalog.fingerprint != before


def test_open_folder_takes_names_that_are_not_utf8(usual: Path) -> None:
    name = os.fsdecode(b"gl\xfccklich.jpg")
    lay(usual, (f"happy/{name}",))
    assert f"happy/{name}" in open_folder(str(usual)).catalog.names


PARTS = {
    "train": {"train": "train"},
    "case": {"Train": "train", "Test": "test"},
    "usage": {"Training": "train", "PublicTest": "val", "PrivateTest": "test"},
    "valid": {"TRAIN": "train", "valid": "val", "test_set": "test"},
    "test alone": {"testing": "test"},
}


@pytest.mark.parametrize("layout", PARTS)
def test_open_folder_knows_parts_by_their_usual_names(
    tmp_path: Path, layout: str, told: pytest.LogCaptureFixture
) -> None:
    spelled = PARTS[layout]
    lay(tmp_path, (f"{part}/{name}/a.jpg" for part in spelled for name in ("happy", "sad")))
    catalog = open_folder(str(tmp_path)).catalog
    assert catalog.classes == ("happy", "sad")
    found = declared_parts(catalog.names)
    assert found
    assert {part: len(indices) for part, indices in found.items()} == dict.fromkeys(spelled.values(), 2)
    foreign = [f"{name} as {part}" for name, part in spelled.items() if name != part]
    assert told.messages == ([f"{tmp_path}: reads {', '.join(foreign)}"] if foreign else [])


def test_open_folder_refuses_two_folders_of_one_part(tmp_path: Path) -> None:
    lay(tmp_path, (f"{part}/{name}/a.jpg" for part in ("train", "val", "valid") for name in ("happy", "sad")))
    with pytest.raises(BadData, match="has val and valid, and both mean val; join them, or name them train"):
        open_folder(str(tmp_path))


def test_open_folder_refuses_parts_below_classes(tmp_path: Path) -> None:
    lay(tmp_path, ("happy/train/a.jpg", "happy/test/b.jpg", "sad/train/c.jpg"))
    with pytest.raises(BadData, match="happy/ holds test/ and train/; put parts at the top, as test/happy/"):
        open_folder(str(tmp_path))
    lay(tmp_path / "whole", ("data/train/happy/a.jpg", "data/test/happy/b.jpg"))
    with pytest.raises(BadData, match=r"data/ holds test/ and train/; give .*whole/data/ as the data"):
        open_folder(str(tmp_path / "whole"))
    lay(tmp_path / "deep", ("data/FER/Train/happy/a.jpg", "data/FER/Test/happy/b.jpg"))
    with pytest.raises(BadData, match=r"data/FER/ holds Test/ and Train/; give .*deep/data/FER/ as the"):
        open_folder(str(tmp_path / "deep"))


def test_open_folder_warns_of_a_folder_around_the_classes(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    lay(tmp_path / "one", (f"a/b/{name}/a.jpg" for name in ("sad", "happy")))
    lay(tmp_path / "parts", (f"{part}/all/{name}/a.jpg" for part in ("train", "val") for name in "cd"))
    for name in ("one", "parts"):
        open_folder(str(tmp_path / name))
    assert told.messages == [
        f"{tmp_path}/one: a/ is the only class, and a/b/ holds folders (happy, sad); "
        f"if they are the classes, give {tmp_path}/one/a/b/ as the data",
        f"{tmp_path}/parts: all/ is the only class, and train/all/ holds folders (c, d); "
        "if they are the classes, move them to train/",
    ]
    told.clear()
    lay(tmp_path / "plain", ("happy/a.jpg", "happy/of_one_person/b.jpg", "happy/of_another/c.jpg"))
    open_folder(str(tmp_path / "plain"))
    assert told.messages == []


def test_open_folder_warns_of_classes_that_hold_the_same_folders(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    lay(tmp_path / "folds", (f"fold{n}/{name}/a.jpg" for n in (1, 2) for name in ("happy", "sad")))
    lay(tmp_path / "films", (f"{name}/film{n}/a.jpg" for n, name in enumerate(("happy", "sad"))))
    lay(tmp_path / "inner", (f"{name}/faces/a.jpg" for name in ("happy", "sad")))
    for name in ("folds", "films", "inner"):
        open_folder(str(tmp_path / name))
    fact = "fold1/, fold2/ and the other classes hold the same folders (happy, sad)"
    assert told.messages == [
        f"{tmp_path}/folds: {fact}; if they are parts, name them train, val and test",
    ]


def test_open_folder_takes_spellings_of_a_class_for_one(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    decomposed = unicodedata.normalize("NFD", "colère")
    names = ("train/colère/a.jpg", f"test/{decomposed}/b.jpg", "train/Sad/a.jpg", "test/sad/a.jpg")
    catalog = open_folder(str(lay(tmp_path, names))).catalog
    assert catalog.classes == ("Sad", "colère")
    # names stay those of the files
    assert set(catalog.names) == set(names)
    assert len(told.messages) == 2


def test_open_folder_refuses_a_class_whose_name_is_not_utf8(usual: Path) -> None:
    (usual / "sad").rename(usual / os.fsdecode(b"f\xfcr"))
    with pytest.raises(BadData, match=r"class 'f\\udcfcr' is not UTF-8; rename it"):
        open_folder(str(usual))


def test_open_folder_tells_what_it_passes_over(usual: Path, told: pytest.LogCaptureFixture) -> None:
    lay(usual, ("sad/a.nef", "sad/b.psd", "angry/x.NEF", "sad/Thumbs.db", "sad/.DS_Store", "crops.csv"))
    lay(usual, ("__MACOSX/sad/._e.webp", "sad/@eaDir/e.webp/THUMB.jpg", ".ipynb_checkpoints/a.jpg"))
    open_folder(str(usual))
    counts = "2 .nef (develop it to .jpg), 1 .psd (save it as .jpg or .png)"
    assert told.messages == [
        f"{usual}: 3 pictures passed over: {counts}",
        f"{usual}: passes over 1 file that is not a picture, 4 hidden files",
    ]


def test_open_folder_says_why_a_class_has_no_pictures(usual: Path) -> None:
    lay(usual, ("none/a.dng",))
    with pytest.raises(BadData, match=r"none/ has no pictures that are read, but 1 \.dng \(develop it"):
        open_folder(str(usual))


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_open_folder_never_waits_for_a_picture(usual: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(usual / "sad" / "x.jpg")
    else:
        (usual / "sad" / "x.jpg").symlink_to("/dev/zero")
    with pytest.raises(BadData, match="not a plain file; put one in its place") as caught:
        open_folder(str(usual))
    assert caught.value.place == str(usual / "sad" / "x.jpg")


def _as_linked_folder(picture: Path, other: Path) -> None:
    (other / "more").symlink_to(picture.parent)


def _as_link(picture: Path, other: Path) -> None:
    (other / picture.name).symlink_to(picture)


def _as_second_name(picture: Path, other: Path) -> None:
    (other / picture.name).hardlink_to(picture)


def _as_copy(picture: Path, other: Path) -> None:
    shutil.copy(picture, other / "copy.png")


@pytest.mark.parametrize("put", [_as_linked_folder, _as_link, _as_second_name, _as_copy])
def test_open_folder_warns_of_a_picture_in_two_classes(
    put: Callable[[Path, Path], None], tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    root = lay(tmp_path / "faces", ("Happy/a.png", "angry/c.jpg", "sad/e.png"))
    put(root / "Happy/a.png", root / "sad")
    open_folder(str(root))
    assert "holds 1 picture more than once, 1 of them in another class" in told.text


def test_fingerprint_is_that_of_earlier_versions(usual: Path) -> None:
    # a checkpoint knows its data by it
    expected = "15196f86d752c06cd9904793f71f4b920c7680dd3378db6e3a405522173967bb"
    assert open_folder(str(usual)).catalog.fingerprint == expected


def test_pictures_without_labels_are_read_at_any_depth(tmp_path: Path) -> None:
    for name in ("b.png", "some/a.png", "some/deeper/c.jpg", ".hidden/d.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), "red").save(tmp_path / name)
    found = open_unlabeled(str(tmp_path))
    assert found.catalog.names == ("b.png", "some/a.png", "some/deeper/c.jpg")
    assert set(found.catalog.labels) == {0}
    assert found.picture(2).size == (4, 4)
    before = found.catalog.fingerprint
    (tmp_path / "b.png").unlink()
    assert open_unlabeled(str(tmp_path)).catalog.fingerprint != before


def test_a_folder_without_any_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(BadData, match="no pictures"):
        open_unlabeled(str(tmp_path))
