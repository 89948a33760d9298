"""What every measure of answers, a file of its folder, must keep, and values worked out by hand."""

from __future__ import annotations

import random

import independent_answers as independent
import pytest

from irctl import plugins

PACKAGE = "metrics/answers"
NAMES = plugins.names(PACKAGE)
WORDS = ["the", "red", "Red", "a", "house.", "B", "(C)", "answer", "is", "2", "blue", "bluebird", "A"]


def score(name: str, answer: str, *references: str, classes: tuple[str, ...] = ()) -> float:
    value: float = plugins.load(PACKAGE, name).score(answer, references, classes)
    return value


@pytest.mark.parametrize("name", NAMES)
def test_what_is_right_counts_1_and_nothing_counts_0(name: str) -> None:
    answer, reference = plugins.literal(PACKAGE, name, "EXAMPLE")
    assert score(name, reference, reference) == 1
    assert score(name, answer, reference) > 0
    assert score(name, "", reference) == 0


@pytest.mark.parametrize("name", NAMES)
def test_any_reference_is_enough_and_their_order_does_not_count(name: str) -> None:
    answer, reference = plugins.literal(PACKAGE, name, "EXAMPLE")
    alone = score(name, answer, reference)
    assert score(name, answer, "zzz", reference) == score(name, answer, reference, "zzz") == alone


@pytest.mark.parametrize("name", NAMES)
def test_a_second_implementation_gives_the_same_values_between_0_and_1(name: str) -> None:
    second = getattr(independent, name)
    draw = random.Random(1)
    above = 0
    for _ in range(400):
        answer, first, other = (" ".join(draw.choices(WORDS, k=draw.randint(1, 6))) for _ in range(3))
        answer = draw.choice([answer, answer, f"the {first}"])
        names = draw.sample(WORDS, 4) if draw.random() < 0.7 else []
        wanted = max(second(answer, r, names or [first, other]) for r in (first, other))
        found = score(name, answer, first, other, classes=tuple(names))
        assert found == pytest.approx(wanted) and 0 <= found <= 1, (answer, first, other, names)
        above += found > 0
    assert above > 10


def test_articles_case_and_punctuation_do_not_count_in_an_exact_match() -> None:
    assert score("em", "The U.S.A.", "usa") == 1
    assert score("em", "red houses", "red house") == 0


def test_f1_counts_a_repeated_word_as_often_as_both_have_it() -> None:
    assert score("f1", "red red house", "red house") == pytest.approx(2 * 2 / 5)  # 2/3 and 1


def test_rouge_l_counts_the_longest_common_subsequence_and_not_the_common_words() -> None:
    # police killed the gunman / police kill the gunman: 3 of 4; the gunman kill police: 2 of 4 (Lin 2004)
    assert score("rouge_l", "police kill the gunman", "police killed the gunman") == pytest.approx(3 / 4)
    assert score("rouge_l", "the gunman kill police", "police killed the gunman") == pytest.approx(2 / 4)


def test_a_class_that_is_part_of_the_right_one_does_not_take_from_it() -> None:
    names = ("number", "number:date", "place")
    assert score("class_match", "Number:Date", "number:date", classes=names) == 1
    assert score("class_match", "place or number:date", "number:date", classes=names) == pytest.approx(1 / 2)
    assert score("class_match", "number", "number:date", classes=names) == 0


@pytest.mark.parametrize(
    "answer, right",
    [
        ("B", "B"),
        ("The answer is C. It is a bird.", "C"),
        ("the correct answer is: (d)", "D"),
        ("It is a bird: B", "B"),
        ("Option 3", "3"),
        ("Because", ""),
        ("", ""),
    ],
)
def test_the_first_letter_that_stands_alone_is_the_choice(answer: str, right: str) -> None:
    from irctl.metrics.answers.choice import find_choice

    assert find_choice(answer) == right
