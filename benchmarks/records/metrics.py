"""Defines the table of metrics: everything that is measured of a training, and all that the harness knows of each number.

A metric is one field of `Metrics`, annotated with a `Metric`. Measuring, records, the leaderboard in every format,
`compare`, `replay`, `sweep` and asv's results read the table `METRICS`; to add a metric is to add a field here. It must be
annotated as younger, since the records that are kept do not have it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field

from benchmarks.records.fields import About, Count, Finite, GrowingData, Label, Positive
from benchmarks.records.units import (
    BYTES,
    CORES,
    EVALUATIONS,
    PERCENT,
    RATIO,
    SECONDS,
    SKILL,
    STEPS,
    STEPS_PER_SECOND,
    Unit,
)

_ROUNDING = 1e-9
PeakOf = Literal["device", "process"]


class Errors(GrowingData):
    """Errors of a function on the test set in the L2 and L1 norms, relative to the norm of the exact solution there.

    `mean_square` is not relative. `test_set_error` is the relative standard error of `relative_l2` that comes of measuring at
    so many points only. Both came later, and are None in older records.
    """

    relative_l2: Positive
    relative_l1: Positive
    mean_square: Annotated[Positive | None, About(younger=True)] = None
    test_set_error: Annotated[Positive | None, About(younger=True)] = None


class Better(Enum):
    """Says whether a lower or a higher value of a metric is better."""

    LOWER = "lower"
    HIGHER = "higher"


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What the metrics of a training are read from.

    `result` is what the solver's `fit` returned, `nulls` has the errors of the null predictors by name, `levels` are the
    relative L2 errors for which the time to reach them is wanted, and `peak` is the peak memory in bytes, of the device or of
    the process as `peak_of` says, None where it is not known. `bystanders` is the mean number of cores that others kept busy
    meanwhile, None if unknown, and `bystanders_of_its_cores` that of the cores to which the process is bound, None if it is not.
    """

    result: Any
    nulls: Mapping[str, Errors]
    levels: tuple[float, ...]
    peak: int | None
    peak_of: PeakOf | None
    bystanders: float | None = None
    bystanders_of_its_cores: float | None = None

    def error(self, name: str) -> float | None:
        """Returns an error at the end of the training, by name; None if it was not measured or is not finite."""
        return finite((self.result.errors or {}).get(name))

    def skill(self, null: str) -> float | None:
        """Returns the skill against a null predictor, by its name; None if one of the errors is missing."""
        return skill(self.error("relative_l2"), self.nulls.get(null))


@dataclass(frozen=True, kw_only=True)
class Detail(About):
    """Describes a field of `Metrics` that is not a number, by how it is read from a measurement."""

    read: Callable[[Measurement], Any]

    def value(self, measurement: Measurement) -> Any:
        """Returns the value that a record stores."""
        return self.read(measurement)


@dataclass(frozen=True, kw_only=True)
class AsvForm:
    """How a metric is written for asv, in which lower is better.

    `turned` maps our number to asv's and, being its own inverse, asv's to ours, with None for what has no counterpart.
    `benchmark` is the full name of the benchmark in `bench_*.py` that measures it.
    """

    name: str
    unit: str
    benchmark: str
    turned: Callable[[float], float | None] = lambda value: value


@dataclass(frozen=True, kw_only=True)
class Metric(About):
    """Describes a number that is measured of a training.

    `title` is its name on axes, and `read` takes it from a measurement. `failed` is the value that a failed seed counts with
    when seeds are summarised: infinite for errors, so that the median over seeds is not one over survivors; None keeps the
    value that was measured before the failure, which suits costs such as bytes and steps per second.

    A metric with a `head` is a column of the leaderboard, with its range over the seeds if `ranged`, and on a terminal only if
    `narrow`. One with a `brief` head is a column of the table after a sweep. All are in CSV and JSON. `watched` metrics are
    compared between commits, and `exact` ones must agree bit for bit in a replay. A `timed` one is not the solver's own where
    others kept the machine busy. `printed` is the papers' word for it.
    """

    title: str
    unit: Unit
    read: Callable[[Measurement], float | None]
    better: Better | None = None
    failed: float | None = None
    head: str = ""
    brief: str = ""
    ranged: bool = False
    narrow: bool = True
    watched: bool = False
    exact: bool = False
    timed: bool = False
    printed: str = ""
    asv: AsvForm | None = None

    @property
    def axis(self) -> str:
        """The title with its unit, for the axis of a figure."""
        return f"{self.title} [{self.unit.symbol}]" if self.unit.symbol else self.title

    def value(self, measurement: Measurement) -> float | int | None:
        """Returns the value that a record stores: a finite number, an integer where the unit is whole, or None."""
        return self.stored(self.read(measurement))

    def stored(self, value: float | None) -> float | int | None:
        """Returns a number as a record stores it: an integer where the unit is whole, and None where it is not finite."""
        known = finite(value)
        return int(known) if known is not None and self.unit.whole else known

    def counted(self, value: float | None, ok: bool) -> float | None:
        """Returns the value that a seed counts with in a summary over seeds: `failed` if the seed failed (is not `ok`), else, or
        where `failed` is None, its own. None leaves the seed out.
        """
        return self.failed if not ok and self.failed is not None else value

    def text(self, value: float | None) -> str:
        """Returns the number as text for tables: a dash for None, and "failed" for the infinite value of a failed seed."""
        if value is None:
            return "–"
        return self.unit.text(value) if math.isfinite(value) else "failed"


class Metrics(GrowingData):
    """What was measured of a training, in bytes, seconds and steps per second. A missing value is None, never NaN."""

    relative_l2: Annotated[
        Positive | None,
        Metric(
            title="relative L2 error",
            unit=RATIO,
            read=lambda m: m.error("relative_l2"),
            better=Better.LOWER,
            failed=math.inf,
            head="relative L2",
            brief="rel. L2",
            ranged=True,
            watched=True,
            exact=True,
            asv=AsvForm(
                name="relative_l2",
                unit="relative L2",
                benchmark="bench_accuracy.Accuracy.track_relative_l2",
            ),
        ),
    ] = None
    test_set_error: Annotated[
        Positive | None,
        Metric(
            title="relative standard error of the relative L2 error, from the test set's size",
            unit=PERCENT,
            read=lambda m: m.error("test_set_error"),
            younger=True,
        ),
    ] = None
    estimated_error: Annotated[
        Positive | None,
        Metric(
            title="relative standard error by the solver's own account, which sees no bias",
            unit=PERCENT,
            read=lambda m: m.error("estimated_error"),
            younger=True,
        ),
    ] = None
    mean_square: Annotated[
        Positive | None,
        Metric(
            title="mean square error",
            unit=RATIO,
            read=lambda m: m.error("mean_square"),
            better=Better.LOWER,
            failed=math.inf,
            printed="validation-mse",
            younger=True,
        ),
    ] = None
    relative_l1: Annotated[
        Positive | None,
        Metric(
            title="relative L1 error",
            unit=RATIO,
            read=lambda m: m.error("relative_l1"),
            better=Better.LOWER,
            failed=math.inf,
            exact=True,
        ),
    ] = None
    relative_point: Annotated[
        Positive | None,
        Metric(
            title="relative error at the probe",
            unit=RATIO,
            read=lambda m: m.error("relative_point"),
            better=Better.LOWER,
            failed=math.inf,
            younger=True,
        ),
    ] = None
    best_relative_l2: Annotated[
        Positive | None,
        Metric(
            title="lowest relative L2 error on the way",
            unit=RATIO,
            read=lambda m: m.result.best,
            better=Better.LOWER,
            failed=math.inf,
        ),
    ] = None
    skill: Annotated[
        Finite | None,
        Metric(
            title="skill against a constant",
            unit=SKILL,
            read=lambda m: m.skill("constant"),
            better=Better.HIGHER,
            failed=-math.inf,
            head="skill",
            brief="skill",
            asv=AsvForm(
                name="error_over_constant_null",
                unit="ratio",
                benchmark="bench_accuracy.Accuracy.track_error_over_constant_null",
                turned=lambda value: 1.0 - value,
            ),
        ),
    ] = None
    skill_affine: Annotated[
        Finite | None,
        Metric(
            title="skill against an affine function",
            unit=SKILL,
            read=lambda m: m.skill("affine"),
            better=Better.HIGHER,
            failed=-math.inf,
            head="skill vs affine",
            brief="vs affine",
        ),
    ] = None
    steps_per_second: Annotated[
        Positive | None,
        Metric(
            title="steps per second",
            timed=True,
            unit=STEPS_PER_SECOND,
            read=lambda m: m.result.steps_per_second,
            better=Better.HIGHER,
            head="steps/s",
            brief="it/s",
            watched=True,
            printed="speed",
            asv=AsvForm(
                name="seconds_per_step",
                unit="seconds",
                benchmark="bench_speed.Speed.time_step",
                turned=lambda value: 1.0 / value if value else None,
            ),
        ),
    ] = None
    peak_bytes: Annotated[
        Count | None,
        Metric(
            title="peak memory",
            unit=BYTES,
            read=lambda m: m.peak,
            better=Better.LOWER,
            head="peak memory",
            brief="peak",
            printed="peak-memory",
            asv=AsvForm(name="peak_bytes", unit="bytes", benchmark="bench_memory.Device.track_peak_bytes"),
        ),
    ] = None
    peak_of: Annotated[PeakOf | None, Detail(read=lambda m: m.peak_of)] = None
    compiled_bytes: Annotated[
        Count | None,
        Metric(
            title="memory of a compiled step",
            unit=BYTES,
            read=lambda m: m.result.compiled_bytes,
            better=Better.LOWER,
            head="compiled",
            narrow=False,
            watched=True,
            asv=AsvForm(
                name="compiled_bytes",
                unit="bytes",
                benchmark="bench_memory.Compiled.track_compiled_bytes",
            ),
        ),
    ] = None
    compile_seconds: Annotated[
        Positive | None,
        Metric(
            title="time to compile",
            timed=True,
            unit=SECONDS,
            read=lambda m: m.result.compile_seconds,
            better=Better.LOWER,
            head="compile",
            watched=True,
            asv=AsvForm(
                name="compile_seconds",
                unit="seconds",
                benchmark="bench_compile.Compilation.track_compile_seconds",
            ),
        ),
    ] = None
    train_seconds: Annotated[
        Positive | None,
        Metric(
            title="time to train",
            timed=True,
            unit=SECONDS,
            read=lambda m: m.result.seconds,
            better=Better.LOWER,
            asv=AsvForm(
                name="train_seconds",
                unit="seconds",
                benchmark="bench_accuracy.Accuracy.track_seconds_to_train",
            ),
        ),
    ] = None
    loss: Annotated[
        Finite | None,
        Metric(
            title="loss at the end",
            unit=RATIO,
            read=lambda m: m.result.loss,
            better=Better.LOWER,
            failed=math.inf,
            exact=True,
        ),
    ] = None
    steps: Annotated[
        Count | None, Metric(title="steps taken", unit=STEPS, read=lambda m: m.result.steps, exact=True)
    ] = None
    planned_steps: Annotated[
        Count | None,
        Metric(
            title="steps of the whole training",
            unit=STEPS,
            read=lambda m: getattr(m.result, "planned_steps", None),
            exact=True,
            younger=True,
        ),
    ] = None
    processor_seconds: Annotated[
        Positive | None,
        Metric(
            title="processor time to train",
            unit=SECONDS,
            read=lambda m: getattr(m.result, "processor_seconds", None),
            younger=True,
        ),
    ] = None
    bystanders: Annotated[
        Positive | None,
        Metric(title="cores that others kept busy", unit=CORES, read=lambda m: m.bystanders, younger=True),
    ] = None
    bystanders_of_its_cores: Annotated[
        Positive | None,
        Metric(
            title="its own cores that others kept busy",
            unit=CORES,
            read=lambda m: m.bystanders_of_its_cores,
            younger=True,
        ),
    ] = None
    forward_evaluations: Annotated[
        Positive | None,
        Metric(
            title="forward evaluations of the network",
            unit=EVALUATIONS,
            read=lambda m: m.result.forward_evaluations,
            better=Better.LOWER,
        ),
    ] = None
    seconds_to: Annotated[
        dict[Label, Positive],
        Field(max_length=16),
        Detail(read=lambda m: seconds_to(m.result.history, m.levels)),
    ] = Field(default_factory=dict)


_FIELDS: dict[str, Metric | Detail] = {
    name: about
    for name, field in Metrics.model_fields.items()
    for about in field.metadata
    if isinstance(about, Metric | Detail)
}
METRICS: Mapping[str, Metric] = MappingProxyType(
    {name: about for name, about in _FIELDS.items() if isinstance(about, Metric)}
)
"""Maps the name of every number of `Metrics` to its description, in the order in which tables show them."""


def metrics_of(measurement: Measurement) -> Metrics:
    """Returns all metrics of a measurement, as a record stores them."""
    values: dict[str, Any] = {name: about.value(measurement) for name, about in _FIELDS.items()}
    return Metrics(**values)


def asv_forms() -> dict[str, AsvForm]:
    """Maps our names of the metrics that asv has to their form there."""
    return {name: metric.asv for name, metric in METRICS.items() if metric.asv is not None}


def in_asv(name: str, metrics: Metrics) -> float | None:
    """Returns the metric called `name` in asv's form, where lower is better; None where it is missing or has no counterpart."""
    value = getattr(metrics, name)
    return None if value is None else finite(asv_forms()[name].turned(float(value)))


def from_asv(numbers: Mapping[str, float | None]) -> Metrics:
    """Returns metrics made of asv's numbers, which are given under our names."""
    forms = asv_forms()
    known: dict[str, Any] = {
        name: METRICS[name].stored(forms[name].turned(value))
        for name, value in numbers.items()
        if value is not None
    }
    return Metrics(**known, peak_of=None if known.get("peak_bytes") is None else "device")


def skill(error: float | None, null: Errors | None) -> float | None:
    """Returns 1 − e/e₀, with e a relative L2 error and e₀ that of a null predictor: 1 is perfect, 0 no better, negative worse.

    Errors that agree to a relative 1e-9 count as equal, so that the null predictor itself, evaluated another way, has skill 0.
    None if an error is missing or e₀ = 0.
    """
    if error is None or null is None or null.relative_l2 == 0.0:
        return None
    value = 1.0 - error / null.relative_l2
    return 0.0 if abs(value) < _ROUNDING else finite(value)


def seconds_to(history: list[dict[str, Any]], levels: tuple[float, ...]) -> dict[str, float]:
    """Returns the training seconds after which the relative L2 error was first at most each level; levels that were not reached are
    left out.
    """
    seen = [(finite(row.get("seconds")), finite(row.get("relative_l2"))) for row in history]
    reached = {}
    for level in levels:
        first = next((s for s, e in seen if s is not None and e is not None and e <= level), None)
        if first is not None:
            reached[f"{level:g}"] = first
    return reached


def finite(value: Any) -> float | None:
    """Returns `value` as a float, or None where it is missing or not finite."""
    if value is None:
        return None
    known = float(value)
    return known if math.isfinite(known) else None
