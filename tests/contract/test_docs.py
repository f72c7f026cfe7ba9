"""Pages that are generated say what the code says."""

from pathlib import Path

import pytest

from libs.devkit import words

DOCS = Path(__file__).parents[2] / "deploy/docs"


def test_the_page_of_words_is_up_to_date() -> None:
    assert words.main(["--check", str(DOCS / "words.md")]) == 0, "run: python -m libs.devkit.words deploy/docs/words.md"


def test_no_word_means_two_things() -> None:
    all_words = [each.strip() for word in (*words.TRADE, *words.INSIDE) for each in word.word.split(",")]

    assert len(all_words) == len(set(all_words))


def test_a_page_that_is_missing_or_old_is_stale(tmp_path: Path) -> None:
    page = tmp_path / "words.md"
    assert words.main(["--check", str(page)]) == 1

    assert words.main([str(page)]) == 0
    assert words.main(["--check", str(page)]) == 0
    page.write_text("old")
    assert words.main(["--check", str(page)]) == 1


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["--check"]])
def test_the_page_has_to_be_named(arguments: list[str]) -> None:
    assert words.main(arguments) == 2
