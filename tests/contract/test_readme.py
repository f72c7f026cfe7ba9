"""What the README shows is what the code says."""

from pathlib import Path

from services.projects.diagram import drawn_into

README = Path(__file__).parents[2] / "README.md"


def test_the_saga_in_the_readme_is_the_one_in_the_code() -> None:
    page = README.read_text()
    assert drawn_into(page) == page, "run: python -m services.projects.diagram README.md"


def test_a_changed_drawing_would_be_noticed() -> None:
    page = README.read_text().replace("RESOLVING", "GUESSING")
    assert drawn_into(page) != page
