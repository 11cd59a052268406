"""Fluent edits, by rule, that contradict a radiology report's own facts: counterfactuals on real text.

`ReportEditor().edit(findings, report, study_id)` makes at most one edit of each of `COUNTERFACTUAL_KINDS`:

| kind | for example |
| --- | --- |
| `negation` | No pneumothorax or effusion. -> There is an effusion but no pneumothorax. |
| `laterality` | in the left lower lobe -> in the right lower lobe |
| `location` | in the left lower lobe -> in the left upper lobe |
| `severity` | mild degenerative changes -> severe degenerative changes |
| `heart_size` | The heart is normal in size. -> The heart is enlarged. |
| `finding` | a small right pleural effusion -> a small right pneumothorax |

The rules work on the findings as written, sentence by sentence, and take what negspacy's NegEx says is denied. An
edit that another sentence would contradict is not made. Unlike PhantomCXR's, these edits are not exchangeable with
what they edit: real reports deny far more than they affirm. So a model that never sees the image does better than
chance; `benchmarks/report_counterfactuals.py` measures how much better.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from .perturbations import normalize_report
from .phantom_counterfactual import edit_span
from .report_attribute_rules import laterality_edits, location_edits, severity_edits
from .report_finding_rules import finding_edits
from .report_heart_rules import heart_size_edits
from .report_language import ReportParser, ReportText, TextEdit
from .report_negation_rules import negation_edits
from .schema import Counterfactual

RULES: Mapping[str, Callable[[ReportText], list[TextEdit]]] = MappingProxyType(
    {
        "negation": negation_edits,
        "laterality": laterality_edits,
        "location": location_edits,
        "severity": severity_edits,
        "heart_size": heart_size_edits,
        "finding": finding_edits,
    }
)
"""By kind, what lists every edit that a report allows."""


class ReportEditor:
    """Edits reports so that they contradict their images.

    An edit depends on (seed, study id, findings, kind) alone, and not on the case and the line breaks of the findings.

    Args:
        seed: of the choice where a report allows several edits of a kind.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._parser = ReportParser()

    def edit(self, findings: str, report: str, study_id: str) -> dict[str, Counterfactual]:
        """The counterfactuals of one report.

        Args:
            findings: as written.
            report: `normalize_report(findings)`.
            study_id: of the report; part of what the choice depends on.

        Returns:
            Kind to counterfactual, whose span indexes `report`; a kind that the report allows no edit of is absent.

        Raises:
            ValueError: `report` is not the normalised `findings`.
        """
        if report != normalize_report(findings):
            raise ValueError(
                f"study {study_id}: report {report!r} is not normalize_report of the findings {findings!r}"
            )
        return next(self.edit_batch([(study_id, findings)]))

    def edit_batch(self, studies: Iterable[tuple[str, str]]) -> Iterator[dict[str, Counterfactual]]:
        """The counterfactuals of many reports, in order: of each (study id, findings as written)."""
        studies = [(study_id, " ".join(findings.split())) for study_id, findings in studies]  # lines may be wrapped
        parsed = self._parser.parse(findings for _, findings in studies)
        for (study_id, findings), text in zip(studies, parsed, strict=True):
            report = normalize_report(findings)
            edits = {kind: self._choose(kind, study_id, report, rule(text)) for kind, rule in RULES.items()}
            yield {kind: _counterfactual(report, findings, edit) for kind, edit in edits.items() if edit is not None}

    def _choose(self, kind: str, study_id: str, report: str, edits: Sequence[TextEdit]) -> TextEdit | None:
        if not edits:
            return None
        key = f"report_counterfactuals\0{self._seed}\0{study_id}\0{kind}\0{report}"
        return edits[int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % len(edits)]


def _counterfactual(report: str, findings: str, edit: TextEdit) -> Counterfactual:
    return edit_span(report, normalize_report(edit.apply(findings)))
