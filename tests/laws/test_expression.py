"""Filters and products are parsed, never evaluated."""

from __future__ import annotations

import pytest

from vitladder.errors import UserError
from vitladder.laws.expression import matching, parse_filter, parse_flops_per
from vitladder.laws.table import Table

CELLS = {
    "flops": ["1e9", "2e9", "3e9"],
    "model": ["ViT-B/16", "ViT-S/16", "ViT-B/16"],
    "Seen Examples": [10, 20, 30],
    "empty": ["", "5", ""],
}
TABLE = Table("runs.csv", CELLS, ["row 1", "row 2", "row 3"])


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("flops<=2e9", [0, 1]),
        ("flops < 2000000000", [0]),
        ("flops>1e9 and flops<3e9", [1]),
        ("flops==2e9", [1]),
        ("flops=2.0e9", [1]),
        ("flops!=2e9", [0, 2]),
        ("model=ViT-B/16", [0, 2]),
        ("model == 'ViT-S/16'", [1]),
        ("model!=ViT-B/16", [1]),
        ("Seen Examples>=20 and model=ViT-B/16", [2]),
        ('"Seen Examples">=20', [1, 2]),
        ("empty=5", [1]),
        ("flops>9e9", []),
        ("empty!='' and empty<9", [1]),
        ("model!='a and b'", [0, 1, 2]),
    ],
)
def test_a_filter_keeps_the_rows_that_it_says(text: str, rows: list[int]) -> None:
    assert matching(TABLE, text).nonzero()[0].tolist() == rows


@pytest.mark.parametrize("text", ["", "flops", "flops<", "<=3", "flops<=1e9 and", "flops ~ 3"])
def test_what_is_no_filter_is_said(text: str) -> None:
    with pytest.raises(UserError, match="is no filter") as error:
        parse_filter(text)
    assert "flops<=1e21 and loss<5" in str(error.value)


def test_an_order_of_names_is_refused() -> None:
    with pytest.raises(UserError, match=r"column model, row 1: .* compares no numbers"):
        matching(TABLE, "model<5")


def test_an_unknown_column_is_named() -> None:
    with pytest.raises(UserError, match=r"no .*column 'flop'; did you mean 'flops'"):
        matching(TABLE, "flop<5")


def test_nothing_is_evaluated() -> None:
    with pytest.raises(UserError):
        matching(TABLE, "__import__('os').system('true')<5")


@pytest.mark.parametrize(("text", "k"), [("6*N*D", 6), ("N * D", 1), ("D*2.5e1*N", 25)])
def test_a_product_of_n_and_d(text: str, k: float) -> None:
    assert parse_flops_per(text) == k


@pytest.mark.parametrize("text", ["6*N", "N*D*D", "6*6*N*D", "-6*N*D", "x*N*D", "6ND", "nan*N*D"])
def test_what_is_no_product_is_said(text: str) -> None:
    with pytest.raises(UserError, match="is no product"):
        parse_flops_per(text)
