"""Parts of a data set: disjoint, complete, of the size asked for, and the same for the same seed."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoprune.choices import PARTS
from emoprune.data.splits import Parts, declared_parts, groups, part_sizes, partition
from emoprune.data.types import FOLDERS, Catalog, SplitRule
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
        *("a/b", " 80/20", "80/20\n", "80 / 20", "folder", "+80/20"),
    ],
)
def test_part_sizes_refuse_other_text(text: str) -> None:
    with pytest.raises(UsageFault):
        part_sizes(text, 100)


def test_groups_are_matches_in_the_file_name() -> None:
    assert groups(["happy/film1_2.jpg", "x_y/film2_1.jpg"], PERSON) == ["film1", "film2"]


def test_groups_are_the_first_parenthesis() -> None:
    assert groups(["a/shot7_ann.jpg", "b/shot8_bob.jpg"], r"_(\w+)\.(jpg)") == ["ann", "bob"]


def test_groups_name_a_file_without_a_match() -> None:
    with pytest.raises(BadData, match="b/two"):
        groups(["a/1one", "b/two"], r"\d")


def test_groups_name_a_file_without_its_parenthesis() -> None:
    data = catalog(["a1", "b1", "a2", "b2"], [0, 0, 1, 1])
    with pytest.raises((BadData, UsageFault)):
        partition(data, rule("50/50", group_by="(a)|b"))


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "a{99999999999999}"])
def test_groups_refuse_a_wrong_pattern(pattern: str) -> None:
    with pytest.raises(UsageFault, match="not a regular expression"):
        groups(["a"], pattern)


def test_groups_refuse_a_pattern_that_takes_too_long() -> None:
    with pytest.raises(UsageFault, match="takes too long to match"):
        groups([f"{'a' * 60}!"], "(a+)+$")


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
