"""The studies, by name: which runs each wants, in which order, given the records so far."""

from __future__ import annotations

from benchmarks.accuracy.studies import ablation, authors, family, rates
from benchmarks.accuracy.studies.study import Study

STUDIES: dict[str, Study] = {
    study.name: study for study in (authors.STUDY, rates.STUDY, ablation.STUDY, family.STUDY)
}
