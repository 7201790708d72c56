"""What stands under each figure: what its marks mean, and what it could not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vitladder.report.chart import Drawing
from vitladder.report.learning import LearningCurve
from vitladder.report.marks import FitData, minima
from vitladder.report.optimum import has_bands, parametric_law
from vitladder.report.predictions import Forecasted, median_error, on_cpu
from vitladder.report.run_plots import Speed, by_choice
from vitladder.runs.record import Record

COMPARED = (
    "Dots are runs, bars the mean over seeds; a difference below the dots' own spread says nothing."
)
THROUGHPUT = "Training images per second over model size."
SPEED = {
    "mfu": "Model FLOPs utilisation: model FLOP/s as a share of the dense peak of a run's devices.",
    "roofline": "Model FLOP/s of each run over model FLOPs per byte that its steps must at least "
    "move; the dashed line is the roof of the runs' devices: bandwidth, then the dense peak.",
    "roof": "Model FLOP/s of each run; the dashed line is the dense peak of the runs' devices. "
    "Bytes moved or the bandwidth are not known, so there is no bandwidth roof: `vitladder bench` "
    "draws it.",
}
NO_SPEED = "No run has measured its images per second yet."
NO_MFU = "MFU is left out because the device's peak is not known."
NO_ROOF = "No roof: the device's peak is not known."
NO_TIME = "No run has both a predicted and a measured time."
ASSUMED = "No comparison: the costs of a step were assumed, not measured, on the runs' machine."
NO_MEMORY = "No run has both a predicted and a measured peak."
OF_A_CPU = (
    "No comparison: a CPU's run measures the memory of the whole process, Python and torch with "
    "it, and its plan that of the training alone."
)


def isoflop(fit: FitData) -> str:
    """Of the IsoFLOP curves."""
    text = (
        "Validation loss over model size, one colour per compute budget; dotted lines join its "
        "runs."
    )
    if fit["laws"]["isoflop"] is None:
        return f"{text} No minima: {fit['reasons']['isoflop']}."
    edges, count = sum(minimum["edge"] for minimum in minima(fit)), len(minima(fit))
    if edges < count:
        text += " Stars are the minima of parabolas of log loss in log N."
    if edges:
        text += (
            f" Hollow grey stars ({edges} of {count}) are the lowest runs of"
            " budgets without an interior minimum; no law uses them."
        )
    return text


def frontier(fit: FitData) -> str:
    """Of loss over compute."""
    text = "Every complete run, coloured by size."
    if not parametric_law(fit):
        return f"{text} No law drawn: {_reason(fit, 'parametric')}."
    return (
        f"{text} The line is the least loss that the parametric law allows at each C, dashed where "
        f"no run reaches in C, N or D, to ten times the largest C. {_bands(fit)}"
    )


def optimum(fit: FitData, letter: str) -> str:
    """Of N* or D*."""
    text = f"{letter} over training FLOPs."
    isoflop = fit["laws"]["isoflop"]
    if isoflop and isoflop["a"] is not None:
        text += " Stars are the IsoFLOP minima, and the line through them is their power law."
    elif isoflop:
        text += f" No power law: {_reason(fit, 'isoflop')}."
    if parametric_law(fit):
        text += " The line to the diamond, dashed where no run reaches, is the parametric law."
        text += f" {_bands(fit)}"
    return text


def predicted(fit: FitData) -> str:
    """Of predicted against measured loss."""
    text = "Each point is a run; on the line, the law is right."
    if fit["held_out"]:
        return (
            f"{text} Diamonds: the largest budget, predicted by a law that was fitted without it."
        )
    return f"{text} Nothing is held out: {_reason(fit, 'held_out')}."


def forecast(runs: Sequence[Forecasted]) -> str:
    """Of predicted against measured time or memory."""
    return (
        "Each point is a run; on the line, the plan was right. Median error "
        f"{100 * median_error(runs):.0f} %."
    )


def learning(curves: Sequence[LearningCurve], choices: Mapping[str, str]) -> str:
    """Of the learning curves."""
    shade = "choice" if by_choice(choices) else "size"
    text = f"Validation loss while training, coloured by {shade}."
    if any(curve.status != "complete" for curve in curves):
        text += " Grey and dashed: runs that did not complete."
    return text


def no_time(complete: Sequence[Record]) -> str:
    """Why no run's time is compared."""
    said = dict.fromkeys(str(record.forecast.get("why_no_time") or "") for record in complete)
    reasons = [reason for reason in said if reason]
    if reasons:
        return f"No prediction: {'; '.join(reasons)}."
    assumed = any(record.forecast.get("assumed") for record in complete)
    return ASSUMED if assumed else NO_TIME


def no_memory(complete: Sequence[Record]) -> str:
    """Why no run's memory is compared."""
    return OF_A_CPU if all(map(on_cpu, complete)) else NO_MEMORY


def no_law(fit: FitData, name: str) -> str:
    """Why a figure of a law is missing."""
    return f"No law to draw: {_reason(fit, name)}."


def speed(name: str, drawing: Drawing, speeds: Sequence[Speed]) -> str:
    """Of a figure of speed, and how many runs it leaves out."""
    missing, count = len(speeds) - len(drawing.rows), len(speeds)
    return SPEED[name] + (f" Not known for {missing} of {count} runs." if missing else "")


def _bands(fit: FitData) -> str:
    if has_bands(fit):
        return "The band is its 95 % interval over bootstrap draws."
    return f"No band: {_reason(fit, 'parametric_ci95')}."


def _reason(fit: FitData, name: str) -> str:
    return str((fit.get("reasons") or {}).get(name) or "the fit has none")
