"""The report of an experiment: what each variant did for people, and how sure that is. Pure.

A person is the unit: they were assigned, and what they write is not independent of what
they wrote before.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Literal

from agent.control.experiments import Experiment, Variant
from agent.reports import statistics
from agent.reports.statistics import Interval, Sample

MetricName = Literal[
    "answers",
    "latency",
    "tokens",
    "cost",
    "failures",
    "retries",
    "thumbs",
    "thumbs_up",
    "thumbs_down",
]
PRIMARY: MetricName = "answers"

ERROR_RATE = 0.05
"""How often one variant that is no different is called better or worse at most, however
often somebody looks.
"""

FEWEST = 100
"""People in each group before a verdict: sequential intervals are for means that are nearly
normal.
"""

SPLIT_P = 0.001
SPLIT_DEVIATION = 0.001
SPLIT_EXPECTED = 5.0
"""A split is wrong below this p-value and from this deviation of a share on; told once each
variant expects so many.
"""


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a person."""

    name: MetricName
    title: str
    unit: Literal["", "ms", "USD", "share"]
    more_is_better: bool
    yes_or_no: bool = False  # 1 or 0 of each person


METRICS: Mapping[MetricName, Metric] = {
    metric.name: metric
    for metric in (
        Metric("answers", "answers per person", "", True),
        Metric("latency", "latency of a person's answers", "ms", False),
        Metric("tokens", "tokens per answer", "", False),
        Metric("cost", "cost per answer", "USD", False),
        Metric("failures", "replies that were no answer", "share", False),
        Metric("retries", "retries per person", "", False),
        Metric("thumbs", "thumbs up among a person's thumbs", "share", True),
        Metric("thumbs_up", "people with a thumb up", "share", True, yes_or_no=True),
        Metric(
            "thumbs_down", "people with a thumb down", "share", False, yes_or_no=True
        ),
    )
}


@dataclass(slots=True)
class Group:
    """The people of a variant: for each metric one value of each person who has one."""

    people: int = 0
    unknown_costs: int = 0  # answers whose price nobody knows
    values: dict[MetricName, array[float]] = field(
        default_factory=lambda: {name: array("d") for name in METRICS}
    )


@dataclass(frozen=True, slots=True)
class Figures:
    """What Postgres knows of an experiment."""

    experiment: Experiment
    started_at: datetime
    ended_at: datetime | None
    groups: Mapping[str, Group]  # of every variant, in its order
    crossed: (
        int  # people seen in several variants (accounts linked meanwhile); in no group
    )


class ReportVerdict(Enum):
    """What a sequential interval allows to say of a variant."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference"  # as large as the experiment wants to know
    NOT_YET = "not yet"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A variant beside the control in one metric. Intervals are None where chance can not
    be measured.
    """

    metric: Metric
    variant: str
    control: Sample
    sample: Sample
    fixed: Interval | None  # holds for one look only
    sequential: Interval | None  # holds however often somebody looks
    relative: Interval | None  # sequential, of variant ÷ control − 1
    verdict: ReportVerdict | None  # None: the split is wrong, nothing may be concluded
    lacking: (
        int | None
    )  # people, in each of both groups, until a verdict; None: nobody can tell

    @property
    def difference(self) -> float:
        """Variant − control; nan without people."""
        return self.sample.mean - self.control.mean

    @property
    def relative_difference(self) -> float | None:
        return self.difference / self.control.mean if self.control.mean else None


@dataclass(frozen=True, slots=True)
class Split:
    """How people are spread over the variants, beside the weights."""

    expected: Mapping[str, float]  # shares of 1
    counts: Mapping[str, int]
    p_value: float | None  # None: too few people to tell

    @property
    def deviation(self) -> float:
        """The largest difference between a share and what the weights say."""
        people = sum(self.counts.values())
        return (
            max(
                abs(self.counts[name] / people - share)
                for name, share in self.expected.items()
            )
            if people
            else 0.0
        )

    @property
    def wrong(self) -> bool:
        return (
            self.p_value is not None
            and self.p_value < SPLIT_P
            and self.deviation >= SPLIT_DEVIATION
        )


@dataclass(frozen=True, slots=True)
class Report:
    """All that is shown."""

    figures: Figures
    primary: Metric
    split: Split
    # of each interval: what ERROR_RATE leaves, shared among the variants (Bonferroni)
    confidence: float
    comparisons: Sequence[Comparison]  # the primary metric first


def report_of(figures: Figures, primary: MetricName = PRIMARY) -> Report:
    """Compares every variant with the control in every metric. Needs scipy (`need_scipy`)."""
    split = _split(figures)
    control, *others = figures.experiment.variants
    alpha = ERROR_RATE / len(others)
    metrics = (
        METRICS[primary],
        *(metric for metric in METRICS.values() if metric.name != primary),
    )
    comparisons = [
        _compare(figures, metric, control, variant, alpha, conclude=not split.wrong)
        for metric in metrics
        for variant in others
    ]
    return Report(figures, METRICS[primary], split, 1 - alpha, comparisons)


def _compare(
    figures: Figures,
    metric: Metric,
    control: Variant,
    variant: Variant,
    alpha: float,
    *,
    conclude: bool,
) -> Comparison:
    before, after = (
        figures.groups[one.name].values[metric.name] for one in (control, variant)
    )
    first, second = statistics.sample_of(before), statistics.sample_of(after)
    fixed = None
    if metric.yes_or_no and before and after:
        fixed = statistics.newcombe(before, after, alpha)
    elif statistics.measurable(first, second):
        fixed = statistics.welch(before, after, alpha)
    verdict, lacking = None, None
    if conclude:
        detect = figures.experiment.detect
        verdict = judge(first, second, metric, detect, alpha)
        share = variant.weight / (control.weight + variant.weight)
        lacking = (
            people_lacking(first, second, detect, share, alpha)
            if verdict is ReportVerdict.NOT_YET
            else 0
        )
    return Comparison(
        metric,
        variant.name,
        first,
        second,
        fixed,
        *sequential(first, second, alpha),
        verdict,
        lacking,
    )


def sequential(
    control: Sample, variant: Sample, alpha: float
) -> tuple[Interval | None, Interval | None]:
    """Where variant − control and variant ÷ control − 1 lie."""
    if not statistics.measurable(control, variant):
        return None, None
    reach = statistics.sequential_reach(control.count + variant.count, alpha)
    groups = statistics.cautious(control, variant)
    return statistics.difference(*groups, reach), statistics.relative_difference(
        *groups, reach
    )


def judge(
    control: Sample, variant: Sample, metric: Metric, detect: float, alpha: float
) -> ReportVerdict:
    """What may be said, from the sequential interval alone; `detect`: the least relative
    difference worth knowing.
    """
    absolute, relative = sequential(control, variant, alpha)
    if absolute is None or min(control.count, variant.count) < FEWEST:
        return ReportVerdict.NOT_YET
    if absolute.low > 0 or absolute.high < 0:
        return (
            ReportVerdict.BETTER
            if (absolute.low > 0) == metric.more_is_better
            else ReportVerdict.WORSE
        )
    if relative is not None and -detect < relative.low and relative.high < detect:
        return ReportVerdict.NO_DIFFERENCE
    return ReportVerdict.NOT_YET


def people_lacking(
    control: Sample, variant: Sample, detect: float, share: float, alpha: float
) -> int | None:
    """How many more people each of both groups needs until there is a verdict; `share` of
    them are in the variant.

    Until a difference of `detect` is found as a rule; if they are there already, until
    there is a verdict for sure. None: nobody can tell.
    """
    to_begin = FEWEST - min(control.count, variant.count)
    if not statistics.measurable(control, variant):
        return to_begin if to_begin > 0 else None
    size = detect * abs(control.mean)
    if size == 0:
        return None
    groups = statistics.cautious(control, variant)
    for people_for in (statistics.people_to_find, statistics.people_to_settle):
        people = people_for(*groups, size, share, alpha)
        lacking = (
            None
            if people is None
            else statistics.missing(control, variant, people, share)
        )
        if lacking != 0:
            return None if lacking is None else max(lacking, to_begin)
    return max(to_begin, 1)


def _split(figures: Figures) -> Split:
    variants = figures.experiment.variants
    weights = [variant.weight for variant in variants]
    counts = [figures.groups[variant.name].people for variant in variants]
    expected = [weight / sum(weights) for weight in weights]
    enough = min(expected) * sum(counts) >= SPLIT_EXPECTED
    p_value = statistics.split_p_value(counts, weights) if enough else None
    names = [variant.name for variant in variants]
    return Split(
        dict(zip(names, expected, strict=True)),
        dict(zip(names, counts, strict=True)),
        p_value,
    )
