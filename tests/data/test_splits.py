"""Parts of a data set: disjoint, complete, of the size asked for, and the same for the same seed."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.choices import PARTS
from emoprune.data import split_files
from emoprune.data.config import SplitConfig
from emoprune.data.datasets import open_data
from emoprune.data.formats import feature_tables
from emoprune.data.formats.parts import Parts
from emoprune.data.splits import fold_rules, note_split, part_sizes, partition, split_rule
from emoprune.data.types import FILE, FOLDERS, Catalog, SplitRule, Table
from emoprune.errors import BadData, InvalidRecord, UsageFault

SHARES = ("80/20", "75/10/15", "50/50", "20/80", "60/20/20")
PERSON = "^[^_]+"

seeds = st.integers(0, 2**32 - 1)


def catalog(names: list[str], labels: list[int]) -> Catalog:
    classes = tuple(f"class{label}" for label in range(max(labels) + 1))
    return Catalog("faces", tuple(names), tuple(labels), classes, "0" * 64)


def of_counts(counts: list[int]) -> Catalog:
    """`counts[label]` samples of each class, interleaved."""
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    random.Random(0).shuffle(labels)
    return catalog([f"class{label}/{index}.jpg" for index, label in enumerate(labels)], labels)


def rule(shares: str, seed: int = 0, group_by: str | None = None) -> SplitRule:
    return SplitRule(shares, seed, group_by, "0" * 64)


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    return of_counts(draw(st.lists(st.integers(20, 60), min_size=2, max_size=4)))


@st.composite
def grouped_catalogs(draw: st.DrawFn) -> Catalog:
    """Many people, each on a few photos of any class."""
    largest, classes = draw(st.integers(1, 4)), draw(st.integers(2, 4))
    chance = random.Random(draw(st.integers(0, 10**6)))
    names, labels = [], []
    for person in range(draw(st.integers(60, 120))):
        for photo in range(chance.randint(1, largest)):
            names.append(f"person{person}_{photo}.jpg")
            labels.append(chance.randrange(classes))
    return catalog(names, labels)


def counts_of(data: Catalog, indices: tuple[int, ...]) -> Counter[int]:
    return Counter(data.labels[index] for index in indices)


def assert_is_partition(parts: Parts, samples: int) -> None:
    assert sorted(index for part in parts.values() for index in part) == list(range(samples))
    for part in parts.values():
        assert list(part) == sorted(part)


@settings(deadline=None, max_examples=40)
@given(catalogs(), st.sampled_from(SHARES), seeds)
def test_partition_covers_everything_once_in_the_sizes_asked_for(
    data: Catalog, shares: str, seed: int
) -> None:
    parts = partition(data, rule(shares, seed))
    assert_is_partition(parts, len(data.names))
    wanted = [int(number) / 100 * len(data.names) for number in shares.split("/")]
    for part, size in zip(parts.values(), wanted, strict=True):
        # two parts that round half a sample away leave one to the first
        assert abs(len(part) - size) <= 1


@settings(deadline=None, max_examples=25)
@given(catalogs(), st.sampled_from(SHARES), seeds)
def test_partition_is_the_same_for_the_same_seed(data: Catalog, shares: str, seed: int) -> None:
    assert partition(data, rule(shares, seed)) == partition(data, rule(shares, seed))


@settings(deadline=None, max_examples=25)
@given(catalogs(), st.sampled_from(SHARES), st.integers(0, 1000))
def test_partition_differs_for_another_seed(data: Catalog, shares: str, seed: int) -> None:
    assert partition(data, rule(shares, seed)) != partition(data, rule(shares, seed + 1))


@settings(deadline=None, max_examples=25)
@given(grouped_catalogs(), seeds)
def test_partition_deals_groups_by_the_seed(data: Catalog, seed: int) -> None:
    first = partition(data, rule("50/50", seed, PERSON))
    assert first == partition(data, rule("50/50", seed, PERSON))
    assert first != partition(data, rule("50/50", (seed + 1) % 2**32, PERSON))


@settings(deadline=None, max_examples=40)
@given(catalogs(), st.sampled_from(SHARES), seeds)
def test_partition_stratifies_classes(data: Catalog, shares: str, seed: int) -> None:
    for indices in partition(data, rule(shares, seed)).values():
        found = counts_of(data, indices)
        for label, total in Counter(data.labels).items():
            assert abs(found[label] - total * len(indices) / len(data.names)) < 2


@settings(deadline=None, max_examples=15)
@given(catalogs(), seeds)
def test_partition_keeps_the_test_part_with_a_validation_part(data: Catalog, seed: int) -> None:
    two, three = partition(data, rule("85/15", seed)), partition(data, rule("75/10/15", seed))
    assert two["test"] == three["test"]


@settings(deadline=None, max_examples=40)
@given(grouped_catalogs(), st.sampled_from(SHARES), seeds)
def test_partition_keeps_a_group_on_one_side(data: Catalog, shares: str, seed: int) -> None:
    parts = partition(data, rule(shares, seed, PERSON))
    assert_is_partition(parts, len(data.names))
    sides = [{data.names[index].split("_")[0] for index in indices} for indices in parts.values()]
    assert sum(map(len, sides)) == len(set().union(*sides))


@settings(deadline=None, max_examples=40)
@given(grouped_catalogs(), st.sampled_from(SHARES), seeds)
def test_partition_of_small_groups_comes_close_to_the_sizes(data: Catalog, shares: str, seed: int) -> None:
    parts = partition(data, rule(shares, seed, PERSON))
    largest = max(Counter(name.split("_")[0] for name in data.names).values())
    for part, share in zip(parts.values(), shares.split("/"), strict=True):
        assert abs(len(part) - int(share) / 100 * len(data.names)) <= largest * len(data.classes) + 1


def test_partition_takes_declared_parts() -> None:
    names = ["train/a/1", "test/a/2", "train/b/3", "val/a/4", "val/b/5", "test/b/6"]
    data = catalog(names, [0, 0, 1, 0, 1, 1])
    assert partition(data, rule(FOLDERS)) == {"train": (0, 2), "val": (3, 4), "test": (1, 5)}


def test_partition_refuses_a_folders_rule_without_part_folders() -> None:
    with pytest.raises(BadData, match="train/, val/ and test/"):
        partition(of_counts([5, 5]), rule(FOLDERS))


def test_partition_names_a_declared_part_without_a_class() -> None:
    data = catalog(["train/a/1", "train/b/2", "test/a/3"], [0, 1, 0])
    with pytest.raises(BadData, match="test part has no sample of class class1"):
        partition(data, rule(FOLDERS))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=4), st.sampled_from(SHARES), seeds)
def test_partition_of_small_data_has_every_class_or_refuses(
    counts: list[int], shares: str, seed: int
) -> None:
    data = of_counts(counts)
    with contextlib.suppress(BadData):
        parts = partition(data, rule(shares, seed))
        assert_is_partition(parts, len(data.names))
        assert all(set(counts_of(data, part)) == set(data.labels) for part in parts.values())


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.sampled_from(SHARES), seeds)
def test_partition_of_few_groups_has_every_class_or_refuses(sizes: list[int], shares: str, seed: int) -> None:
    names = [f"person{person}_{photo}" for person, size in enumerate(sizes) for photo in range(size)]
    data = catalog(names, [index % 2 for index in range(len(names))])
    with contextlib.suppress(BadData):
        parts = partition(data, rule(shares, seed, PERSON))
        assert_is_partition(parts, len(data.names))
        assert all(set(counts_of(data, part)) == set(data.labels) for part in parts.values())


def test_partition_refuses_too_few_samples() -> None:
    with pytest.raises(BadData, match="too few"):
        part_sizes("75/10/15", 3)


def test_partition_ignores_a_class_without_samples() -> None:
    data = dataclasses.replace(of_counts([10, 10]), classes=("class0", "class1", "never"))
    assert_is_partition(partition(data, rule("80/20")), 20)


def test_part_sizes_name_two_or_three_parts() -> None:
    assert list(part_sizes("80/20", 50)) == ["train", "test"]
    assert list(part_sizes("75/10/15", 100)) == list(PARTS)
    assert part_sizes("80/20/0", 50) == {"train": 40, "val": 10}
    assert part_sizes("30/20/0", 50) == {"train": 30, "val": 20}


def test_part_sizes_take_percentages() -> None:
    assert part_sizes("75/10/15", 200) == {"train": 150, "val": 20, "test": 30}


def test_part_sizes_take_counts() -> None:
    assert part_sizes("346/329", 675) == {"train": 346, "test": 329}
    assert part_sizes("2/3/4", 9) == {"train": 2, "val": 3, "test": 4}


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 5000), st.sampled_from(SHARES))
def test_part_sizes_add_up_without_empty_parts(samples: int, shares: str) -> None:
    if samples < 10:
        # a tenth of so few can round to nothing
        with contextlib.suppress(BadData):
            assert min(part_sizes(shares, samples).values()) >= 1
    else:
        sizes = part_sizes(shares, samples)
        assert sum(sizes.values()) == samples
        assert min(sizes.values()) >= 1


def test_part_sizes_refuse_counts_that_do_not_add_up() -> None:
    with pytest.raises(BadData, match="add up to 20"):
        part_sizes("12/9", 20)


@pytest.mark.parametrize(
    "text",
    [
        *("", "80", "80/", "/20", "80/20/", "80-20", "0/100", "100/0", "-80/180", "80.0/20.0", "80/10/5/5"),
        *("80/0/20", "80/20/00", "80/0", "100/0/0"),
        *("a/b", " 80/20", "80/20\n", "80 / 20", "folder", "+80/20"),
    ],
)
def test_part_sizes_refuse_other_text(text: str) -> None:
    with pytest.raises(UsageFault):
        part_sizes(text, 100)


def test_groups_name_a_file_without_its_parenthesis() -> None:
    data = catalog(["a1", "b1", "a2", "b2"], [0, 0, 1, 1])
    with pytest.raises((BadData, UsageFault)):
        partition(data, rule("50/50", group_by="(a)|b"))


def test_partition_refuses_fewer_groups_than_parts() -> None:
    data = catalog(["one_1", "one_2", "one_3", "one_4"], [0, 1, 0, 1])
    with pytest.raises(BadData, match="`group_by`: 1, fewer than the 2 parts"):
        partition(data, rule("50/50", group_by=PERSON))


Groups = tuple[tuple[int, ...], ...]
CLASSES = ("angry", "happy", "sad")


def catalog_splits_together(samples: int) -> Catalog:
    """Samples of three classes in turn, ten of each film."""
    names = tuple(f"film{index // 10}_{index}.jpg" for index in range(samples))
    return Catalog("faces", names, tuple(index % 3 for index in range(samples)), CLASSES, "f")


@st.composite
def tied(draw: st.DrawFn) -> tuple[int, Groups]:
    """How many samples, and some of them in groups of two to five."""
    samples = draw(st.integers(90, 200))
    order = list(range(samples))
    random.Random(draw(st.integers(0, 10**6))).shuffle(order)
    groups = []
    for size in draw(st.lists(st.integers(2, 5), min_size=1, max_size=12)):
        groups.append(tuple(sorted(order[:size])))
        del order[:size]
    return samples, tuple(groups)


def sides(parts: dict[str, tuple[int, ...]], group: tuple[int, ...]) -> set[str]:
    return {part for part, indices in parts.items() if set(indices) & set(group)}


@settings(max_examples=40)
@given(tied(), st.sampled_from(("80/20", "75/10/15")), st.integers(0, 1000))
def test_partition_by_likeness_keeps_groups_and_comes_close_to_the_sizes(
    data: tuple[int, Groups], shares: str, seed: int
) -> None:
    samples, groups = data
    rule = SplitRule(shares, seed, None, "f", groups)
    parts = dict(partition(catalog_splits_together(samples), rule))
    assert sorted(index for part in parts.values() for index in part) == list(range(samples))
    assert all(len(sides(parts, group)) == 1 for group in groups)
    for part, share in zip(parts.values(), shares.split("/"), strict=True):
        assert abs(len(part) - samples * int(share) / 100) <= 5
        for label in range(3):
            assert abs(sum(index % 3 == label for index in part) - len(part) / 3) <= 5
    assert partition(catalog_splits_together(samples), rule) == parts


def test_partition_by_likeness_differs_for_another_seed() -> None:
    groups = tuple((index, index + 3) for index in range(0, 60, 6))
    parts = [
        partition(catalog_splits_together(120), SplitRule("80/20", seed, None, "f", groups))
        for seed in range(2)
    ]
    assert parts[0] != parts[1]


def test_partition_joins_groups_by_name_and_likeness() -> None:
    # of films 0 to 3 each has a picture that is in the next, in whatever order that is found
    groups = ((29, 30), (9, 10), (19, 20))
    for seed in range(20):
        parts = dict(partition(catalog_splits_together(120), SplitRule("50/50", seed, "^[^_]+", "f", groups)))
        assert len(sides(parts, tuple(range(40)))) == 1
        for film in range(4, 12):
            assert len(sides(parts, tuple(range(10 * film, 10 * film + 10)))) == 1


def test_partition_with_nothing_together_is_stratified() -> None:
    plain = partition(catalog_splits_together(90), SplitRule("80/20", 3, None, "f"))
    assert plain == partition(catalog_splits_together(90), SplitRule("80/20", 3, None, "f", ()))


def test_partition_refuses_one_group_of_all() -> None:
    with pytest.raises(BadData, match="`split_by`: 1, fewer than the 2 parts"):
        partition(catalog_splits_together(90), SplitRule("80/20", 0, None, "f", (tuple(range(90)),)))


def test_partition_refuses_a_missing_sample() -> None:
    with pytest.raises(InvalidRecord, match="beyond the 90"):
        partition(catalog_splits_together(90), SplitRule("80/20", 0, None, "f", ((3, 90),)))


@pytest.mark.parametrize("together", [((),), ((4,),), ((2, 1),), ((-1, 2),), ((1, 2), (2, 3)), ((1, 1),)])
def test_split_rule_refuses_invalid_groups(together: Groups) -> None:
    with pytest.raises(InvalidRecord, match="invalid groups of samples"):
        SplitRule("80/20", 0, None, "f", together)


def tabled(labels: list[int], names: list[str] | None = None, split: SplitConfig | None = None) -> Table:
    """A table of one column with these labels."""
    held = catalog(names or [f"film{index // 4}_{index}" for index in range(len(labels))], labels)
    return Table(held, ("x",), torch.zeros(len(labels), 1), split or SplitConfig())


def test_partition_says_how_small_a_class_is() -> None:
    with pytest.raises(BadData, match="class class1 has 1 sample, too few for 2 parts; add"):
        partition(catalog([f"{index}" for index in range(9)], [0] * 8 + [1]), rule("80/20"))


def test_partition_counts_the_classes_that_a_part_lacks() -> None:
    data = catalog(["train/1", "train/2", "train/3", "test/4"], [0, 1, 2, 0])
    with pytest.raises(BadData, match="test part has no sample of class class1 nor of 1 other; add"):
        partition(data, rule(FOLDERS))


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_not_a_way_to_split(part: str) -> None:
    with pytest.raises(UsageFault) as caught:
        split_rule(tabled([0, 1] * 4), SplitConfig(split=part), 0)
    assert f"`split={part}` names the {part} part" in str(caught.value)
    assert ("kept for eval" in str(caught.value)) == (part == "test")


def test_split_rule_takes_a_split_file_that_partition_repeats(tmp_path: Path) -> None:
    data, parts = tabled([0, 1] * 6), {"train": (0, 1, 4, 5, 6, 7), "val": (2, 3), "test": (8, 9, 10, 11)}
    (tmp_path / "s.csv").write_bytes(split_files.to_bytes(data.catalog, parts))
    found = split_rule(data, SplitConfig(split_file=str(tmp_path / "s.csv")), 0)
    assert found == SplitRule(FILE, 0, None, "0" * 64, assigned="t2v2t4e4")
    assert partition(data.catalog, found) == parts
    with pytest.raises(UsageFault, match="`split` and `split_file` both say"):
        split_rule(data, SplitConfig(split="80/20", split_file=str(tmp_path / "s.csv")), 0)
    with pytest.raises(BadData, match=r"its val part has no sample of class class1; .* `split_file`"):
        partition(tabled([0, 1, 0, 0] + [0, 1] * 4).catalog, found)
    with pytest.raises(InvalidRecord, match="not of the 2 samples"):
        partition(tabled([0, 1]).catalog, found)


def test_partition_by_a_file_names_a_group_on_both_sides() -> None:
    data = catalog([f"film{index // 3}_{index}" for index in range(12)], [0, 1] * 6)
    apart = SplitRule(FILE, 0, PERSON, "f", assigned="t6e6")
    assert partition(data, apart) == {"train": tuple(range(6)), "test": tuple(range(6, 12))}
    with pytest.raises(BadData) as caught:
        partition(data, dataclasses.replace(apart, assigned="t4v4e4"))
    assert str(caught.value) == (
        "group film1 is on both sides of `split_file`, with film1_3 in train and film1_4 in val "
        "(the first of 2 such groups); correct the file, or leave out `group_by` and `split_by`"
    )
    with pytest.raises(BadData, match="a group of near-duplicates is on both sides"):
        partition(data, SplitRule(FILE, 0, None, "f", ((5, 6),), "t6e6"))


def test_a_split_file_moves_samples_of_a_test_part_with_a_warning(
    tmp_path: Path, told: pytest.LogCaptureFixture
) -> None:
    names = [f"{part}/{index}" for part in ("train", "test") for index in range(4)]
    data = tabled([0, 1] * 4, names)

    parts = {"train": (0, 1, 2, 3, 4), "test": (5, 6, 7)}
    (tmp_path / "s.csv").write_bytes(split_files.to_bytes(data.catalog, parts))
    note_split(data, split_rule(data, SplitConfig(split_file=str(tmp_path / "s.csv")), 0), parts)
    assert told.messages == ["faces: `split_file` has 1 sample of its test part in another, test/0 the first"]


def folded(data: Table, k: int, seed: int = 0) -> list[Parts]:
    return [partition(data.catalog, found) for found in fold_rules(data, k, seed=seed)]


@pytest.mark.parametrize("group_by", [None, PERSON])
def test_fold_rules_have_each_sample_in_val_once(group_by: str | None) -> None:
    data = tabled([0, 1, 2] * 20, split=SplitConfig(group_by=group_by))
    found = folded(data, 5)
    assert [list(parts) for parts in found] == [["train", "val"]] * 5
    assert sorted(index for parts in found for index in parts["val"]) == list(range(60))
    for parts in found:
        assert_is_partition(parts, 60)
    assert folded(data, 5) == found
    assert folded(data, 5, seed=1) != found


def test_fold_rules_keep_the_test_part_out_of_all_folds() -> None:
    data = tabled([0, 1, 2] * 20, split=SplitConfig(split="75/10/15"))
    cut = partition(data.catalog, rule("85/15"))["test"]
    named = [f"{('train', 'val', 'test')[index % 3]}/{index}" for index in range(60)]
    declared = tabled([index // 3 % 3 for index in range(60)], named)
    for found, test in ((folded(data, 4), cut), (folded(declared, 4), tuple(range(2, 60, 3)))):
        assert [parts["test"] for parts in found] == [test] * 4
        val = sorted(index for parts in found for index in parts["val"])
        assert val == sorted(set(range(60)) - set(test))


def test_fold_rules_of_a_rule_fold_what_it_does_not_test() -> None:
    assigned = SplitRule(FILE, 3, None, "f", assigned="e6t50v4")
    data = tabled([0, 1, 2] * 20).catalog
    parts = [partition(data, found) for found in fold_rules(assigned, 3)]
    assert [found["test"] for found in parts] == [tuple(range(6))] * 3
    assert sorted(index for found in parts for index in found["val"]) == list(range(6, 60))


def test_fold_rules_refuse_folds_that_cannot_be() -> None:
    data = tabled([0, 1] * 6)
    with pytest.raises(UsageFault, match="`folds=1` leaves nothing to train on; give 2 or more"):
        fold_rules(data, 1)
    with pytest.raises(BadData, match="faces: class class0 is in 6 samples, fewer than the 7 folds"):
        fold_rules(data, 7)


def test_split_rule_refuses_a_test_part(tmp_path: Path) -> None:
    names = [f"{part}/{index}.jpg" for part in PARTS for index in range(4)]
    data = tabled([0, 1] * 6, names)
    (tmp_path / "t.csv").write_bytes(feature_tables.to_bytes(data, suffix=".csv"))
    assert split_rule(open_data(f"{tmp_path}/t.csv:train"), SplitConfig(), 0).shares == "80/20"
    with pytest.raises(UsageFault, match=r"t\.csv:test: is the test part, which is kept for eval; give"):
        split_rule(open_data(f"{tmp_path}/t.csv:test"), SplitConfig(), 0)
    with pytest.raises(UsageFault, match=r"is already split into train, val, test; .* give .*t\.csv:train"):
        split_rule(open_data(tmp_path / "t.csv"), SplitConfig(split="80/20"), 0)


def test_fold_rules_keep_groups_of_declared_parts_whole() -> None:
    names = [f"{('train', 'val', 'test')[index % 3]}/film{index // 5}_{index}" for index in range(90)]
    data = tabled([index // 3 % 3 for index in range(90)], names, SplitConfig(group_by=PERSON))
    for parts in folded(data, 4):
        assert parts["test"] == tuple(range(2, 90, 3))
        films = [
            {names[index].split("/")[1].split("_")[0] for index in parts[part]} for part in ("train", "val")
        ]
        assert not films[0] & films[1]
    with pytest.raises(UsageFault, match="is already split"):
        split_rule(data, data.split, 0)
