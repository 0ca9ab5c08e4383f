"""Crops into folders that an attacker has prepared: nothing outside changes, nor a user's file inside."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emoprune import events
from emoprune.events import Advance, Work
from emoprune.faces import manifest
from emoprune.faces.crop_folder import crop_folder
from emoprune.faces.types import CropConfig
from tests.support import hostile

PHOTOS = ("angry/a.png", "angry/b.png", "happy/c.png", "happy/d.png")
SIDE = 40
MINE = ("notes.txt", "angry/mine.jpg", "angry/mine.txt", "deep/er/mine.txt", ".mine", "happy.jpg")
"""Files that the user keeps in the folder of faces."""


@dataclass(frozen=True)
class World:
    """Photos, boxes for all of them, a folder of faces, and one of somebody else."""

    room: Path

    @property
    def faces(self) -> Path:
        return self.room / "faces"

    @property
    def theirs(self) -> Path:
        return self.room / "outside"

    def crop(
        self, *, boxes: bool = True, force: bool = False, size: int | None = None, **more: object
    ) -> object:
        """A crop without a detector: all photos have a box."""
        config = CropConfig(size=size, **more)  # type: ignore[arg-type]
        lists = str(self.room / "boxes.csv") if boxes else None
        return crop_folder(str(self.room / "raw"), str(self.faces), config, boxes=lists, jobs=1, force=force)


@contextmanager
def interrupted(after: int) -> Iterator[None]:
    """Within, Ctrl-C is pressed when so many photos are cropped."""

    @contextmanager
    def hook(work: Work) -> Iterator[Advance]:
        done = 0

        def advance(steps: int = 1, text: str | None = None) -> None:
            nonlocal done
            done += steps
            if work.label == "crop" and done >= after:
                raise KeyboardInterrupt

        yield advance

    with events.showing(hook):
        yield


def start(world: World, *, after: int, size: int = 16) -> None:
    """A run that is interrupted."""
    with contextlib.suppress(KeyboardInterrupt), interrupted(after):
        world.crop(size=size, force=True)


def photo(seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, World]:
    """A finished folder, one whose first run was interrupted, and one of both; with a user's files."""
    made = {}
    for name in ("finished", "interrupted", "both"):
        world = World(tmp_path_factory.mktemp(name))
        for seed, source in enumerate(PHOTOS):
            (world.room / "raw" / source).parent.mkdir(parents=True, exist_ok=True)
            photo(seed).save(world.room / "raw" / source)
        lines = [f"{source},4,4,30,30" for source in PHOTOS]
        (world.room / "boxes.csv").write_text("\n".join(["source,x1,y1,x2,y2", *lines, ""]))
        if name != "interrupted":
            world.crop(size=16)
        if name != "finished":
            start(world, after=2, size=16 if name == "interrupted" else 24)
        for path in MINE:
            (world.faces / path).parent.mkdir(parents=True, exist_ok=True)
            (world.faces / path).write_bytes(b"mine")
        made[name] = world
    return made


def again(world: World) -> None:
    """A photo has changed."""
    photo(9).save(world.room / "raw" / "angry" / "a.png")
    world.crop()


def gone(world: World) -> None:
    """A class is gone, and a photo of another one."""
    shutil.rmtree(world.room / "raw" / "angry")
    (world.room / "raw" / "happy" / "c.png").unlink()
    world.crop(boxes=False, force=True)


def forced(world: World) -> None:
    world.crop(size=20, force=True)


def rescued(world: World) -> None:
    """A photo is new, has no box, and so is searched."""
    photo(10).save(world.room / "raw" / "happy" / "new.png")
    world.crop(force=True, rescue=True, on_missing="whole")


def stopped(world: World) -> None:
    """Interrupted, then with other settings, then finished."""
    with contextlib.suppress(KeyboardInterrupt), interrupted(1):
        world.crop(size=20, force=True)
    world.crop(size=24, force=True)


ACTIONS: tuple[Callable[[World], None], ...] = (again, gone, forced, rescued, stopped)
"""What is done with each folder."""


def problems(
    bases: Mapping[str, World], room: Path, plant: Callable[[World], object], *, first: str | None = None
) -> list[str]:
    """What goes wrong after something was planted, whatever is then done with the folder.

    `first` is the kind of folder that is tried with two actions only, beside one of both kinds.
    """
    tried = [("both", action) for action in ACTIONS]
    tried += [(name, action) for name in ([first] if first else bases) for action in (again, forced)]
    found = []
    for base, action in dict.fromkeys(tried):
        here = World(room / f"{base}-{action.__name__}")
        shutil.copytree(bases[base].room, here.room, symlinks=True)
        hostile.outside(here.room)
        plant(here)
        kept = [here.faces / path for path in MINE if (here.faces / path).is_file()]
        before = hostile.state(here.theirs), hostile.state(*kept)
        wrong = hostile.problem_of(partial(action, here))
        after = hostile.state(here.theirs), hostile.state(*(path for path in kept if path.is_file()))
        lines = [*hostile.changes(before[0], after[0]), *hostile.changes(before[1], after[1])]
        lines += [wrong] if wrong else []
        found += [f"{base}, {action.__name__}: {line.replace(str(here.room), '')}" for line in lines]
        shutil.rmtree(here.room)
    return found


def check(found: list[str]) -> None:
    assert not found, "\n".join(["", *found])


FILES = (
    *("crops.csv", "failures.csv", "crop.json", "contact-sheet.jpg", "angry/a.jpg", "angry/new.jpg"),
    *(".crop/lock", ".crop/crop.json", ".crop/journal.jsonl"),
    *(".crop/made/angry/a.jpg", ".crop/made/crops.csv", ".crop/made/contact-sheet.jpg"),
    *(hostile.TEMPORARY, f".crop/{hostile.TEMPORARY}", f".crop/made/angry/{hostile.TEMPORARY}"),
)
FOLDERS = ("angry", ".crop", ".crop/made", ".crop/made/angry")


@pytest.mark.parametrize("path", FILES)
@pytest.mark.parametrize("plant", hostile.FOR_FILES, ids=lambda plant: plant.__name__)
def test_crop_changes_nothing_outside_by_a_file(
    bases: Mapping[str, World], tmp_path: Path, plant: hostile.Plant, path: str
) -> None:
    first = "interrupted" if path.startswith(".crop/") else "finished"
    check(problems(bases, tmp_path, lambda world: plant(world.faces / path, world.theirs), first=first))


@pytest.mark.parametrize("path", FOLDERS)
@pytest.mark.parametrize("plant", hostile.FOR_FOLDERS, ids=lambda plant: plant.__name__)
def test_crop_changes_nothing_outside_by_a_folder(
    bases: Mapping[str, World], tmp_path: Path, plant: hostile.Plant, path: str
) -> None:
    check(problems(bases, tmp_path, lambda world: plant(world.faces / path, world.theirs)))


NAMED = (
    *("../outside/secret.txt", "angry/../../outside/secret.txt", "ABSOLUTE", "link/secret.txt", "link/a.jpg"),
    *(
        "notes.txt",
        "angry/mine.txt",
        "deep/er/mine.txt",
        ".mine",
        ".crop/lock",
        ".crop/journal.jsonl",
        ".crop",
    ),
    *(
        "crop.json",
        "crops.csv",
        "failures.csv",
        "angry",
        ".",
        "./angry/mine.txt",
        "angry/",
        "angry//mine.txt",
    ),
)
"""What a manifest may name as the face of a photo that is gone, and so as a file to be removed."""


def named(world: World, output: str) -> str:
    """The output as it is written; where it needs a link, that is made."""
    if output.startswith("link/"):
        (world.faces / "link").symlink_to(world.theirs / "treasure")
    return str(world.theirs / "secret.txt") if output == "ABSOLUTE" else output


def in_manifest(world: World, output: str, sources: Sequence[str]) -> None:
    """Let the manifest name the output as the face of each of the sources."""
    path = world.faces / manifest.MANIFEST
    if not path.is_file():
        path.write_text(",".join(manifest.COLUMNS) + "\n")
    with path.open(newline="") as stream:
        table = list(csv.DictReader(stream))
    table += [{"source": each, "status": "face", "output": named(world, output)} for each in sources[:1]]
    for row in table:
        if row["source"] in sources:
            row["output"] = str(world.theirs / "secret.txt") if output == "ABSOLUTE" else output
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, manifest.COLUMNS, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(table)


def in_journal(world: World, output: str, sources: Sequence[str]) -> None:
    """Let the journal name the output as the face of each of the sources."""
    path = world.faces / ".crop" / "journal.jsonl"
    if not path.parent.is_dir():
        path.parent.mkdir()
        shutil.copy(world.faces / "crop.json", path.parent / "crop.json")
    where = named(world, output)
    with path.open("a") as stream:
        for source in sources:
            stream.write(
                json.dumps([{"source": source, "status": "face", "output": where, "sha256": "0"}]) + "\n"
            )


@pytest.mark.parametrize("output", NAMED)
@pytest.mark.parametrize("sources", [("gone/x.png",), ("angry/a.png", "angry/b.png")], ids=["gone", "there"])
@pytest.mark.parametrize("into", [in_manifest, in_journal], ids=lambda into: into.__name__)
def test_crop_removes_only_faces_whatever_its_lists_name(
    bases: Mapping[str, World],
    tmp_path: Path,
    into: Callable[[World, str, Sequence[str]], None],
    sources: Sequence[str],
    output: str,
) -> None:
    check(problems(bases, tmp_path, lambda world: into(world, output, sources), first="both"))


def several(world: World) -> None:
    """Links in every place at once, to what belongs there."""
    for path in ("angry", ".crop/made", ".crop/lock", "contact-sheet.jpg"):
        hostile.moved(world.faces / path, world.theirs)


def class_is_a_chain(world: World) -> None:
    """A class folder that is a link to a link out of the folder."""
    shutil.rmtree(world.faces / "happy", ignore_errors=True)
    (world.faces / "deep" / "link").symlink_to(world.theirs / "treasure")
    (world.faces / "happy").symlink_to("deep/link")


def faces_are_links(world: World) -> None:
    """All faces are links to a file of somebody else."""
    for path in ("angry/a.jpg", "angry/b.jpg", "happy/c.jpg", "happy/d.jpg"):
        hostile.link_to_file(world.faces / path, world.theirs)


def made_leads_back(world: World) -> None:
    """Faces on their way are a user's files."""
    made = world.faces / ".crop" / "made"
    shutil.rmtree(made, ignore_errors=True)
    made.parent.mkdir(exist_ok=True)
    made.symlink_to("../deep")


def a_photo_is_called_like_a_file(world: World) -> None:
    """Photos whose faces would have the names of a user's files, and of lists."""
    for name in ("angry/mine.png", "notes.png", "crops.csv.png", "happy.png"):
        photo(3).save(world.room / "raw" / name)
        with (world.room / "boxes.csv").open("a") as stream:
            stream.write(f"{name},4,4,30,30\n")


def photos_are_odd(world: World) -> None:
    """Photos that are links out, pipes and folders."""
    raw = world.room / "raw"
    (raw / "angry" / "link.png").symlink_to(world.theirs / "face.jpg")
    (raw / "angry" / "folder.png").mkdir()
    os.mkfifo(raw / "angry" / "pipe.png")
    (raw / "link").symlink_to(world.theirs)


@pytest.mark.parametrize(
    "plant",
    [
        *(several, class_is_a_chain, faces_are_links, made_leads_back),
        *(a_photo_is_called_like_a_file, photos_are_odd),
    ],
    ids=lambda plant: plant.__name__,
)
def test_crop_changes_nothing_outside(
    bases: Mapping[str, World], tmp_path: Path, plant: Callable[[World], None]
) -> None:
    check(problems(bases, tmp_path, plant))


def test_the_actions_come_to_their_end_where_nothing_is_planted(
    bases: Mapping[str, World], tmp_path: Path
) -> None:
    ended = []

    def counted(action: Callable[[World], None], world: World) -> None:
        action(world)
        ended.append((action.__name__, (world.faces / "crops.csv").is_file()))

    for name, world in bases.items():
        for action in ACTIONS:
            here = World(tmp_path / f"{name}-{action.__name__}")
            shutil.copytree(world.room, here.room)
            counted(action, here)
    assert len(ended) == len(bases) * len(ACTIONS)
    assert all(there for _, there in ended)
