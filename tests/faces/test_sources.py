from __future__ import annotations

from pathlib import Path

import numpy as np

from emoprune.faces.sources import OutputNames
from emoprune.io.images import jpeg_bytes
from emoprune.synthetic_faces import draw_scene
from tests.support.command_line import Runner


def test_sources_that_differ_in_suffix_alone_get_different_outputs() -> None:
    sources = ("x/a.jpg", "x/a.PNG", "x/A.png", "x/a_jpg.bmp", "x/b.jpg", "y/a.jpg")
    names = OutputNames(sources, [])
    made = {name: names.take(name, 1)[0] for name in sources}
    assert (made["x/b.jpg"], made["y/a.jpg"]) == ("x/b.jpg", "y/a.jpg")
    assert len({output.lower() for output in made.values()}) == len(sources)


def test_faces_of_one_photo_are_numbered_and_never_take_anothers_name() -> None:
    sources = ("x/pair.jpg", "x/pair_1.jpg", "x/pair_2.png")
    names = OutputNames(sources, ["x/pair_3.jpg"])
    taken = [output for source in sources for output in names.take(source, 3 if source == sources[0] else 1)]
    assert len(set(taken)) == 5
    assert taken[3:] == ["x/pair_1.jpg", "x/pair_2.jpg"]
    assert "x/pair_3.jpg" not in taken


def test_a_name_as_long_as_file_systems_allow_leaves_room_for_what_sets_faces_apart() -> None:
    sources = ("x/" + "é" * 125 + ".png", "x/" + "é" * 125 + ".PNG", "x/" + "é" * 124 + "e.png")
    names = OutputNames(sources, [])
    made = [output for source in sources for output in names.take(source, 2)]
    assert len(set(made)) == 6
    assert all(len(Path(output).name.encode()) <= 255 for output in made)


def test_no_face_bears_the_name_of_a_folder_of_photos() -> None:
    names = OutputNames(["a.jpg/one.png", "a.png"], [])
    assert (names.take("a.png", 1), names.take("a.jpg/one.png", 1)) == (["a_.jpg"], ["a.jpg/one.jpg"])


def test_faces_of_an_earlier_run_among_the_photos_are_no_photos(emoprune: Runner, in_folder: Path) -> None:
    for number, name in enumerate(("angry", "happy")):
        (in_folder / "raw" / name).mkdir(parents=True)
        scene = draw_scene(name, generator=np.random.default_rng(number), size=(180, 144))
        (in_folder / "raw" / name / "a.jpg").write_bytes(jpeg_bytes(scene))
    assert emoprune.done("crop", "raw", "raw/faces", "--size", "32").record["photos"] == 2
    assert emoprune.done("crop", "raw", "others", "--size", "32").record["photos"] == 2
    # a folder of photos until now
    (in_folder / "raw" / "happy" / "crops.csv").write_text("source,x1,y1,x2,y2\n")
    assert emoprune.done("crop", "raw", "third", "--size", "32").record["photos"] == 1
    emoprune.check_refused("crop", "raw", ".", code=2, says=("raw", "would lie in"))
