"""What a study compares: the loss of every choice at the same budget, each at its best size."""

from __future__ import annotations

from collections.abc import Sequence

from vitladder.report.axes import loss_axis
from vitladder.report.chart import Drawing, Row, Tips, chart, dots, layer
from vitladder.report.choices import Choice, at_budgets, names_of_runs, pooled_spread
from vitladder.report.marks import LOSS
from vitladder.report.notation import MISSING, plain, power_of_ten, si
from vitladder.report.run_plots import by_choice
from vitladder.report.style import INK

HEAD = ("Choice", "N", "C", "Runs", "Val. loss", "Spread", "Above best", "Told apart", "Images/s")
CAPTION = (
    "Validation loss of each choice at its best size, mean over seeds; budgets within 1 % are one. "
    "Told apart: above the best by more than their pooled standard deviation over seeds"
)
_MOST_ROWS = 40
_BETWEEN = ", "
_LINE = 14
_COLUMNS = ("run", "choice", "n_params", "budget_flops", "loss")
_TIPS: Tips = (
    ("run", "run"),
    ("choice", "choice"),
    ("n_params", "N"),
    ("C", "C"),
    ("loss", "loss"),
)


def comparison_answer(choices: Sequence[Choice]) -> str:
    """Say which choice is the best at the largest budget that several have, if the runs tell."""
    budgets = at_budgets(choices)
    several = [rows for rows in budgets if len(rows) > 1]
    if not several:
        return "No two choices have runs at the same budget (within 1 %), so none are comparable."
    sizes = {choice.n_params for choice in choices if choice.flops == several[-1][0].flops}
    found = _finding(several[-1], several_sizes=len(sizes) > 1)
    if several[-1] is budgets[-1]:
        return found
    alone = budgets[-1][0]
    return (
        f"At the largest budget, {power_of_ten(alone.flops, 3)} FLOPs, only {alone.name} has runs, "
        f"so nothing is comparable there. {found}"
    )


def _finding(rows: Sequence[Choice], *, several_sizes: bool) -> str:
    """The best two of a budget: which is the better, or that the runs do not tell."""
    first, second = (_said(choice, several_sizes=several_sizes) for choice in rows[:2])
    above, spread = rows[1].mean - rows[0].mean, pooled_spread(rows[:2])
    where = f"{len(rows)} choices at {power_of_ten(rows[0].flops, 3)} FLOPs"
    where += ", each at its best size," if several_sizes else ""
    if spread is not None and above > spread:
        return (
            f"Of {where.removesuffix(',')}, {first[0]} has the lowest validation loss: {first[1]}. "
            f"The next is {second[0]}, {plain(above, 4)} above. Their spread over seeds is "
            f"{plain(spread, 4)}."
        )
    why = "with one seed each, so nobody knows how much the seed alone changes"
    if spread is not None:
        why = f"no more than their spread over seeds, {plain(spread, 4)}"
    return (
        f"Of {where} the runs do not tell the best two apart: the validation loss of {first[0]} is "
        f"{first[1]}, and that of {second[0]} is {plain(above, 4)} above, {why}."
    )


def _said(choice: Choice, *, several_sizes: bool) -> tuple[str, str]:
    """The choice's name, with its size where there are several, and its loss."""
    size = f" (N {si(choice.n_params)})" if several_sizes else ""
    spread = "" if choice.spread is None else f", standard deviation {plain(choice.spread, 4)}"
    seeds = f"{len(choice.losses)} run{'s' if len(choice.losses) > 1 else ''}"
    return f"{choice.name}{size}", f"{plain(choice.mean, 4)} ({seeds}{spread})"


def comparison_rows(choices: Sequence[Choice]) -> list[list[str]]:
    """A row for each choice at its best size; "above best" is against the best of the budget."""
    return [_row(choice, rows) for rows in at_budgets(choices) for choice in rows]


def comparison(choices: Sequence[Choice]) -> Drawing:
    """Every run's loss in a row for its choice, the best at the top, and the mean of each."""
    rows = [row for choice in choices for row in _run_rows(choice, choices)]
    labels = list(dict.fromkeys(row["label"] for row in rows))
    lines = max(label.count(_BETWEEN) + 1 for label in labels)
    means: list[Row] = [
        {"label": _label(choice, choices), "choice": choice.name, "loss": choice.mean}
        for choice in choices
    ]
    y = {
        "field": "label",
        "type": "nominal",
        "title": None,
        "sort": labels,
        "axis": {
            # A line for each setting: names that Vega cuts short would read alike.
            "labelExpr": f"split(datum.label, '{_BETWEEN}')",
            "labelLimit": 0,
            "labelLineHeight": _LINE,
            "labelOffset": (1 - lines) * _LINE / 2,
            "grid": True,
            "ticks": False,
            "domain": False,
        },
    }
    tick = {"type": "tick", "thickness": 2, "size": 20, "color": INK}
    # The rows are named, so there is no legend.
    shade = {
        name: {**one, "legend": None} for name, one in by_choice(names_of_runs(choices)).items()
    }
    layers = [
        layer(means, tick, tips=(("choice", "mean of"), ("loss", "loss"))),
        layer(rows, dots(len(rows)), shade, tips=_TIPS),
    ]
    x = loss_axis("loss", LOSS, [row["loss"] for row in rows])
    spec = chart(layers, x, y, height=max(90, (_LINE * lines + 20) * len(labels)))
    return Drawing(spec, _COLUMNS, rows)


def _run_rows(choice: Choice, choices: Sequence[Choice]) -> list[Row]:
    return [
        {
            "run": key,
            "choice": choice.name,
            "label": _label(choice, choices),
            "n_params": choice.n_params,
            "budget_flops": choice.flops,
            "C": power_of_ten(choice.flops, 3),
            "loss": loss,
        }
        for key, loss in zip(choice.run_keys, choice.losses, strict=True)
    ]


def drawable(choices: Sequence[Choice]) -> bool:
    """Whether the choices are few enough for a picture."""
    return 2 <= len(choices) <= _MOST_ROWS


def _row(choice: Choice, rows: Sequence[Choice]) -> list[str]:
    """A choice among those of its budget."""
    return [
        choice.name,
        si(choice.n_params),
        power_of_ten(choice.flops, 3),
        str(len(choice.losses)),
        plain(choice.mean, 4),
        plain(choice.spread, 4),
        plain(choice.mean - rows[0].mean, 4) if len(rows) > 1 else MISSING,
        _told_apart(choice, rows),
        si(choice.images_per_s),
    ]


def _told_apart(choice: Choice, rows: Sequence[Choice]) -> str:
    """Whether the choice is told apart from the best of its budget."""
    if len(rows) == 1:
        return "alone at this budget"
    if choice is rows[0]:
        return MISSING
    spread = pooled_spread((choice, rows[0]))
    if spread is None:
        return "no, one seed each"
    return "yes" if choice.mean - rows[0].mean > spread else "no"


def _label(choice: Choice, choices: Sequence[Choice]) -> str:
    """The choice's name, with its budget and size where the choices have several."""
    parts = [choice.name]
    if len({other.flops for other in choices}) > 1:
        parts.append(f"C {power_of_ten(choice.flops, 3)}")
    if len({other.n_params for other in choices if other.name == choice.name}) > 1:
        parts.append(f"N {si(choice.n_params)}")
    return _BETWEEN.join(parts)
