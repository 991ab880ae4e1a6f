"""The report of an experiment: what each variant did for people, and how sure that is. Pure.

The unit is a person: people were assigned, and one person's messages depend on each other.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Literal

from msgspec import Struct, field

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
"""The metric that decides where an operator names none."""

ERROR_RATE = 0.05
"""Highest probability that a variant without a difference is called better or worse, however
often somebody looks.
"""

MIN_PEOPLE = 100
"""People in each group before a verdict: intervals need means that are nearly normal."""

SPLIT_P = 0.001
SPLIT_DEVIATION = 0.001
"""A split is wrong below this p-value, if a share is off by at least this much."""

SPLIT_EXPECTED = 5.0
"""People that each variant expects before a split is judged."""


class Metric(Struct, frozen=True):
    """One number per person, and whether more of it is better."""

    name: MetricName
    title: str
    unit: Literal["", "ms", "USD", "share"]
    more_is_better: bool
    yes_or_no: bool = False
    """Each person counts 1 or 0."""


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


class Group(Struct):
    """The people of a variant: for each metric, the values of the people that have one."""

    people: int = 0
    unknown_costs: int = 0
    """Answers whose price is unknown."""
    values: dict[MetricName, array[float]] = field(
        default_factory=lambda: {name: array("d") for name in METRICS}
    )


class Figures(Struct, frozen=True):
    """What Postgres knows of an experiment."""

    experiment: Experiment
    started_at: datetime
    ended_at: datetime | None
    groups: Mapping[str, Group]
    """By variant, in their order."""
    crossed: int
    """People seen in several variants (accounts linked meanwhile); they are in no group."""


class ReportVerdict(Enum):
    """What a sequential interval allows to say of a variant."""

    BETTER = "better"
    WORSE = "worse"
    # none as large as the experiment wants to know
    NO_DIFFERENCE = "no difference"
    NOT_YET = "not yet"


class Comparison(Struct, frozen=True):
    """A variant next to the control in one metric. Intervals: None if not `measurable`."""

    metric: Metric
    variant: str
    control: Sample
    sample: Sample
    fixed: Interval | None
    """Holds for one look only."""
    sequential: Interval | None
    """Holds however often somebody looks."""
    relative: Interval | None
    """The sequential interval of variant ÷ control − 1."""
    verdict: ReportVerdict | None
    """None: the split is wrong, so nothing may be concluded."""
    lacking: int | None
    """People still missing in each of the two groups. None: nobody can tell."""

    @property
    def difference(self) -> float:
        """Variant − control; nan without people."""
        return self.sample.mean - self.control.mean

    @property
    def relative_difference(self) -> float | None:
        """Variant ÷ control − 1. None where the control's mean is zero."""
        return self.difference / self.control.mean if self.control.mean else None


class Split(Struct, frozen=True):
    """How people are spread over the variants, next to their weights."""

    expected: Mapping[str, float]
    """Shares of 1, by variant."""
    counts: Mapping[str, int]
    p_value: float | None
    """None: too few people to tell."""

    @property
    def deviation(self) -> float:
        """The largest difference between a share and what the weights say."""
        people = sum(self.counts.values())
        if not people:
            return 0.0

        return max(
            abs(self.counts[name] / people - share)
            for name, share in self.expected.items()
        )

    @property
    def wrong(self) -> bool:
        """Whether people are split so unevenly that nothing may be concluded."""
        if self.p_value is None:
            return False

        return self.p_value < SPLIT_P and self.deviation >= SPLIT_DEVIATION


class Report(Struct, frozen=True):
    """All that the report of an experiment shows."""

    figures: Figures
    primary: Metric
    split: Split
    confidence: float
    """Of each interval: what ERROR_RATE leaves, shared among the variants (Bonferroni)."""
    comparisons: Sequence[Comparison]
    """The primary metric first."""


def report_of(figures: Figures, primary: MetricName = PRIMARY) -> Report:
    """Compares every variant with the control in every metric. Needs scipy (`need_scipy`)."""
    split = _split(figures)
    control, *others = figures.experiment.variants
    alpha = ERROR_RATE / len(others)
    rest = [metric for metric in METRICS.values() if metric.name != primary]
    comparisons = [
        _compare(figures, metric, control, variant, alpha, concludes=not split.wrong)
        for metric in (METRICS[primary], *rest)
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
    concludes: bool,
) -> Comparison:
    before = figures.groups[control.name].values[metric.name]
    after = figures.groups[variant.name].values[metric.name]
    first, second = statistics.sample_of(before), statistics.sample_of(after)
    absolute, relative = sequential(first, second, alpha)

    verdict, lacking = None, None
    if concludes:
        detect = figures.experiment.detect
        verdict, lacking = judge(first, second, metric, detect, alpha), 0
        if verdict is ReportVerdict.NOT_YET:
            share = variant.weight / (control.weight + variant.weight)
            lacking = people_lacking(first, second, detect, share, alpha)

    return Comparison(
        metric,
        variant.name,
        control=first,
        sample=second,
        fixed=_fixed(metric, before, after, alpha),
        sequential=absolute,
        relative=relative,
        verdict=verdict,
        lacking=lacking,
    )


def _fixed(
    metric: Metric, before: array[float], after: array[float], alpha: float
) -> Interval | None:
    if metric.yes_or_no and before and after:
        return statistics.newcombe(before, after, alpha)

    first, second = statistics.sample_of(before), statistics.sample_of(after)
    if statistics.measurable(first, second):
        return statistics.welch(before, after, alpha)

    return None


def sequential(
    control: Sample, variant: Sample, alpha: float
) -> tuple[Interval | None, Interval | None]:
    """Where variant − control and variant ÷ control − 1 lie."""
    if not statistics.measurable(control, variant):
        return None, None

    reach = statistics.sequential_reach(control.count + variant.count, alpha)
    groups = statistics.cautious(control, variant)
    absolute = statistics.difference(*groups, reach)
    relative = statistics.relative_difference(*groups, reach)

    return absolute, relative


def judge(
    control: Sample, variant: Sample, metric: Metric, detect: float, alpha: float
) -> ReportVerdict:
    """What may be said, from the sequential interval alone.

    `detect` is the smallest relative difference worth knowing.
    """
    absolute, relative = sequential(control, variant, alpha)
    if absolute is None or min(control.count, variant.count) < MIN_PEOPLE:
        return ReportVerdict.NOT_YET

    if absolute.low > 0 or absolute.high < 0:
        is_better = (absolute.low > 0) == metric.more_is_better
        return ReportVerdict.BETTER if is_better else ReportVerdict.WORSE
    if relative is not None and -detect < relative.low and relative.high < detect:
        return ReportVerdict.NO_DIFFERENCE

    return ReportVerdict.NOT_YET


def people_lacking(
    control: Sample, variant: Sample, detect: float, share: float, alpha: float
) -> int | None:
    """How many more people each of the two groups needs until there is a verdict.

    First until a difference of `detect` is usually found; if they are there already, until a
    verdict is certain. `share` of all people are in the variant. None: nobody can tell.
    """
    to_begin = MIN_PEOPLE - min(control.count, variant.count)
    if not statistics.measurable(control, variant):
        return to_begin if to_begin > 0 else None

    size = detect * abs(control.mean)
    if size == 0:
        return None

    groups = statistics.cautious(control, variant)
    for people_for in (statistics.people_to_find, statistics.people_to_settle):
        people = people_for(*groups, size, share, alpha)
        if people is None:
            return None

        lacking = statistics.missing(control, variant, people, share)
        if lacking > 0:
            return max(lacking, to_begin)

    return max(to_begin, 1)


def _split(figures: Figures) -> Split:
    variants = figures.experiment.variants
    weights = [variant.weight for variant in variants]
    counts = [figures.groups[variant.name].people for variant in variants]
    expected = [weight / sum(weights) for weight in weights]
    is_enough = min(expected) * sum(counts) >= SPLIT_EXPECTED
    p_value = statistics.split_p_value(counts, weights) if is_enough else None
    names = [variant.name for variant in variants]

    return Split(
        dict(zip(names, expected, strict=True)),
        dict(zip(names, counts, strict=True)),
        p_value,
    )
