"""Results of a measurement: records, their scores, and the file with both."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from aa_detectron.errors import InputError
from aa_detectron.utils.files import write_json

from .class_names import ClassNames, list_names
from .records import METRICS, shift_length
from .scores import fill_tasks, format_metrics, score_records
from .sweep.scores import phase_gap, sweep_curve


@dataclass
class ConsistencyResult:
    """Records of pairs, in the format of the evaluators for Detectron2, and their scores.

    Attributes:
        records: records of pairs, see :mod:`~aa_detectron.consistency.records`.
        settings: settings of the measurement.
        class_names: names of the classes, for scores per class; see
            :func:`~aa_detectron.consistency.class_names.list_names`.

    Raises:
        InvalidOption: names in another form.
    """

    records: list[dict]
    settings: dict[str, Any] = field(default_factory=dict)
    class_names: ClassNames | None = None

    def __post_init__(self) -> None:
        fill_tasks(self.records)
        self.class_names = list_names(self.class_names)

    @property
    def scored(self) -> list[dict]:
        """Records that count in the scores."""
        return self.records

    @cached_property
    def scores(self) -> dict[str, dict[str, float]]:
        """Scores of every section, see :func:`~aa_detectron.consistency.scores.score_records`."""
        return score_records(self.scored, self.class_names)

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % bootstrap interval (low, high) over images for every section's main metric."""
        return {name: (found["low"], found["high"]) for name, found in self.scores.items()}

    def to_dict(self) -> dict[str, Any]:
        """Content of the file from :meth:`save`; may hold NaN, which JSON lacks."""
        return {
            **self.settings,
            "class_names": list_names(self.class_names),
            "results": self.scores,
            "pairs": self.records,
        }

    def save(self, path: str | os.PathLike) -> None:
        """Writes a JSON.

        :func:`~aa_detectron.consistency.exchange.record_files.read_report` reads it.

        Raises:
            InputError: the file cannot be written.
        """
        write_json(path, self.to_dict())

    def __str__(self) -> str:
        return format_metrics(self.scored)


@dataclass
class SweepResult(ConsistencyResult):
    """Records of a sweep; "pair" is the number of steps of the shift.

    The scores are over all shifts above 0. The curves begin at shift 0, where the crop is compared
    with itself.

    Attributes:
        stride: total stride P of the network in pixels, for the phase gap.
    """

    stride: int = 32

    @property
    def scored(self) -> list[dict]:
        return [record for record in self.records if shift_length(record) > 0]

    def metrics(self) -> list[str]:
        """Names of the metrics of :data:`~aa_detectron.consistency.records.METRICS` that count."""
        return [
            name
            for name, (section, fraction) in METRICS.items()
            if any(section in r and fraction(r) is not None for r in self.records)
        ]

    def curve(self, metric: str) -> list[dict[str, float]]:
        """See :func:`~aa_detectron.consistency.sweep.scores.sweep_curve`.

        Args:
            metric: name in :meth:`metrics`.

        Raises:
            InputError: a metric that the records do not have.
        """
        return sweep_curve(self._with(metric), metric)

    def phase_gap(self, metric: str) -> dict[str, float]:
        """See :func:`~aa_detectron.consistency.sweep.scores.phase_gap`."""
        return phase_gap(self._with(metric), metric, self.stride)

    def _with(self, metric: str) -> list[dict]:
        if metric not in self.metrics():
            legal = ", ".join(self.metrics())
            raise InputError(f"the sweep has no metric {metric!r}, but: {legal}")
        return [record for record in self.records if METRICS[metric].section in record]

    def to_dict(self) -> dict[str, Any]:
        names = [name for name in self.metrics() if "every shift" not in name]
        return super().to_dict() | {
            "stride": self.stride,
            "curves": {name: self.curve(name) for name in names},
            "phase_gaps": {name: self.phase_gap(name) for name in names},
        }

    def __str__(self) -> str:
        title = f"phase gap (stride {self.stride})"
        lines = [f"{title:<28}{'points':>9}{'low':>9}{'high':>9}"]
        for name in self.metrics():
            if "every shift" not in name:
                gap = self.phase_gap(name)
                numbers = "".join(f"{gap[key]:9.2f}" for key in ("gap", "low", "high"))
                lines.append(f"{name:<28}{numbers}")
        return "\n".join([super().__str__(), "", *lines])
