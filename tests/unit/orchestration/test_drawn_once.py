"""A drawing is made again when what it shows changed, and only then."""

from pathlib import Path

from orchestration.drawn_once import KEPT, drawn_once


class Pen:
    """Counts what it draws."""

    def __init__(self) -> None:
        self.drawn = 0

    def __call__(self) -> dict[str, bytes]:
        self.drawn += 1
        return {"ä title": f"<svg>{self.drawn}</svg>".encode()}


def test_what_stands_is_drawn_once(tmp_path: Path) -> None:
    pen = Pen()
    first, again = (drawn_once(tmp_path, ("a model", [(0, "Readers")]), pen) for _ in range(2))
    assert first == again == {"ä title": b"<svg>1</svg>"} and pen.drawn == 1


def test_what_changed_is_drawn_anew(tmp_path: Path) -> None:
    pen = Pen()
    for names in ([(0, "Readers")], [(0, "Buyers")], [(0, "Readers")]):
        drawn_once(tmp_path, ("a model", names), pen)
    assert pen.drawn == 2


def test_a_file_that_was_cut_off_is_as_good_as_none(tmp_path: Path) -> None:
    pen = Pen()
    drawn_once(tmp_path, "a model", pen)
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text()[:10])
    assert drawn_once(tmp_path, "a model", pen) == {"ä title": b"<svg>2</svg>"}


def test_only_the_latest_are_kept(tmp_path: Path) -> None:
    for model in range(KEPT + 3):
        drawn_once(tmp_path, model, Pen())
    assert len(list(tmp_path.iterdir())) == KEPT
