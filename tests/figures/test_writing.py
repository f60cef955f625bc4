"""Files of one product: what stands in them, every digit of it, and nothing that could differ from time to time."""

import csv
import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from bofl_jax.figures import Drawing, Table
from bofl_jax.figures.rendering import csv_text, latex, markdown, render

NASTY = "a_b & 50% $x$ #1 {c} ~ ^ \\ | < > ±"


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_numbers_keep_every_digit_of_any_width():
    values = np.random.default_rng(0).random(20)
    rows = read(csv_text([{"value": value, "narrow": np.float32(value)} for value in values]))
    assert [float(row["value"]) for row in rows] == values.tolist()
    assert [np.float32(row["narrow"]) for row in rows] == values.astype(np.float32).tolist()


def test_undefined_numbers_and_missing_columns_are_empty_fields():
    rows = read(csv_text([{"a": np.nan, "b": None}, {"a": np.int64(3), "c": True}]))
    assert rows == [{"a": "", "b": "", "c": ""}, {"a": "3", "b": "", "c": "True"}]


def test_words_with_commas_quotes_and_line_ends_come_back():
    words = ['a,"b"', "two\nlines", NASTY]
    assert [row["word"] for row in read(csv_text([{"word": word} for word in words]))] == words


def test_markdown_has_as_many_cells_in_every_row():
    lines = markdown(Table("", ("a", "b"), [(NASTY, "1"), ("x", "2")], [])).splitlines()
    assert [line.replace("\\|", "").count("|") for line in lines] == [3] * 4


def test_latex_escapes_everything_that_is_special():
    row = latex(Table("", ("a", "b"), [(NASTY, "[0, 1]")], [])).splitlines()[6]
    assert row == (
        r"a\_b \& 50\% \$x\$ \#1 \{c\} \textasciitilde{} \textasciicircum{} \textbackslash{} $|$ $<$ $>$ $\pm$"
        r" & {}[0, 1] \\[2pt]"
    )


def test_latex_wraps_words_but_no_numbers():
    words, numbers = "one two three four five six", "0.951 ± 0.002 [0.926, 0.972]"
    row = latex(Table("", ("a", "b"), [(words, numbers)], [])).splitlines()[6]
    first, second = row.split(" & ")
    assert first.count(r"\\") == 1
    assert second == r"\begin{tabular}[c]{@{}r@{}}.951 $\pm$ .002\\{}[.926, .972]\end{tabular} \\[2pt]"


def test_a_drawing_is_four_files_and_a_table_another_four():
    figure = Figure(figsize=(1, 1))
    figure.subplots().plot([0, 1])
    drawn = render("f", Drawing(figure, "What it is.", [{"x": 1.5}]))
    assert list(drawn) == ["f.png", "f.pdf", "f.csv", "f.txt"]
    assert drawn["f.png"].startswith(b"\x89PNG")
    assert drawn["f.pdf"].startswith(b"%PDF")
    assert (drawn["f.csv"], drawn["f.txt"]) == (b"x\n1.5\n", b"What it is.\n")
    assert set(render("t", Table("A table.", ("a",), [("1",)], [{"a": 1}]))) == {"t.csv", "t.txt", "t.md", "t.tex"}


@pytest.mark.parametrize("word", [b"CreationDate", b"Creator", b"Producer"])
def test_no_time_enters_a_pdf(word):
    figure = Figure(figsize=(1, 1))
    assert word not in render("f", Drawing(figure, "", []))["f.pdf"]
