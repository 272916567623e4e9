"""Tables: text of 80 columns."""

from edgetl.tables import table


def test_the_first_column_is_flush_left_and_the_others_flush_right() -> None:
    assert table(("name", "n"), [("a", 1), ("long name", 1000)]) == (
        "name          n\na             1\nlong name  1000\n"
    )


def test_cells_are_printed_as_they_are() -> None:
    assert (
        table(("[bold]", "b"), [("[red]x[/red] :smile:", "1e3")]).splitlines()[1]
        == "[red]x[/red] :smile:  1e3"
    )


def test_a_table_is_never_wider_than_80_columns() -> None:
    text = table(("name", "value"), [("x" * 100, "y" * 30)])
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("x") == 100
