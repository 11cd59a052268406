"""The nine perturbations of many reports, ours against a spaCy call a perturbation, measured in one run.

`python -m benchmarks.perturbations --openi NLMCXR_reports.tgz` perturbs the distinct reports of a corpus through one
`nlp.pipe` with only the tagger, as a build does, and then calls the full spaCy pipeline once for each perturbation
that needs tags, as the code of ARO does, on the same reports. `--recombined N` also perturbs N distinct reports made
of the words of the corpus, to see that neither the rate nor the memory depends on the size. Loading the models is not
counted; starting the processes of `--num_proc` is.
"""

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import spacy

from datasets_scripts.openi_reports import read_reports
from datasets_scripts.perturbations import DEFAULT_SPACY_MODEL, ReportPerturber, normalize_report, perturb_words

NEED_TAGS = (
    "shuffle_nouns_adjectives",
    "shuffle_all_but_nouns_adjectives",
    "shuffle_nouns_verbs_adjectives",
    "replace_adjectives_with_antonyms",
)
_DRAWS_IN_VAIN = 1000


def recombine(reports: Sequence[str], count: int, seed: int = 0) -> Iterator[str]:
    """Distinct reports as long as those of a corpus, of words drawn as often as they stand in it.

    Args:
        reports: the corpus, normalised.
        count: how many to make.
        seed: of the draws.

    Raises:
        ValueError: the corpus is too small for so many distinct reports.
    """
    rng = random.Random(seed)
    split = [report.split() for report in reports]
    words = [word for report in split for word in report]
    lengths = [len(report) for report in split]
    seen: set[int] = set()
    for _ in range(count):
        for _ in range(_DRAWS_IN_VAIN):
            report = " ".join(rng.choices(words, k=rng.choice(lengths)))
            if hash(report) not in seen:
                break
        else:
            raise ValueError(f"{len(words)} words of {len(reports)} reports do not make {count} distinct ones")
        seen.add(hash(report))
        yield report


def measure_ours(perturber: ReportPerturber, reports: Iterable[str], num_proc: int) -> dict[str, float]:
    """Perturb reports that are all distinct, and keep none.

    Returns:
        `reports`, `seconds`, `reports_per_second`, and `peak_memory_mb`, the most that this process held since it
        began, with that of its largest child for each of `num_proc` where there are several.
    """
    start = time.perf_counter()
    count = sum(1 for _ in perturber.perturb_batch(reports, num_proc))
    seconds = time.perf_counter() - start
    return {**_rate(count, seconds), "peak_memory_mb": _peak_memory_mb(num_proc)}


def measure_peer(reports: Sequence[str], spacy_model: str) -> dict[str, float]:
    """Call the full spaCy pipeline once for each perturbation that needs tags.

    Returns:
        `reports`, `seconds`, `reports_per_second`.
    """
    nlp = spacy.load(spacy_model)
    start = time.perf_counter()
    for report in reports:
        for _ in NEED_TAGS:
            doc = nlp(report)
        perturb_words([token.text for token in doc], [token.tag_ for token in doc], random.Random)
    return _rate(len(reports), time.perf_counter() - start)


def measure(
    reports: Sequence[str], recombined: int, peer_reports: int | None, num_proc: int, spacy_model: str
) -> dict[str, Any]:
    """All figures of a run: `ours`, `recombined`, `peer` and their ratios, as far as they were asked for.

    Args:
        reports: normalised reports, of which the distinct ones are perturbed.
        recombined: distinct reports to make of their words; 0 for none.
        peer_reports: how many of the reports the peer takes, all where None; ours takes the same for the ratio.
        num_proc: processes of ours.
        spacy_model: of both.
    """
    distinct = list(dict.fromkeys(reports))
    perturber = ReportPerturber(spacy_model=spacy_model)
    perturber.perturb(distinct[0])
    results: dict[str, Any] = {"reports": len(reports), "distinct": len(distinct), "num_proc": num_proc}
    results["ours"] = measure_ours(perturber, distinct, num_proc)
    if recombined:
        results["recombined"] = measure_ours(perturber, recombine(distinct, recombined), num_proc)
        results["rate_of_recombined"] = _ratio(results["recombined"], results["ours"])
    of_peer = distinct if peer_reports is None else distinct[:peer_reports]
    if of_peer:
        same = results["ours"] if len(of_peer) == len(distinct) else measure_ours(perturber, of_peer, num_proc)
        results["peer"] = measure_peer(of_peer, spacy_model)
        results["ratio"] = _ratio(same, results["peer"])
    return results


def _rate(count: int, seconds: float) -> dict[str, float]:
    return {"reports": count, "seconds": seconds, "reports_per_second": count / seconds}


def _ratio(first: dict[str, float], second: dict[str, float]) -> float:
    return first["reports_per_second"] / second["reports_per_second"]


def _peak_memory_mb(num_proc: int) -> float:
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, KiB elsewhere
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return (own + (num_proc * child if num_proc > 1 else 0)) / unit


def _read(args: argparse.Namespace) -> list[str]:
    if args.openi is not None:
        texts = [report.findings for report in read_reports(args.openi)]
    else:
        texts = args.reports.read_text(encoding="utf-8").splitlines()
    reports = [report for text in texts if (report := normalize_report(text))]
    if not reports:
        raise ValueError(f"{args.openi or args.reports} holds no report with a word")
    return reports


def _show(results: dict[str, Any]) -> None:
    print(f"{results['reports']:,} reports, {results['distinct']:,} distinct; processes: {results['num_proc']}")
    print(f"{'':34}{'reports':>9}{'seconds':>9}{'reports/s':>11}{'peak memory':>13}")
    rows = {
        "ours": "ours: one pipe, tagger only",
        "recombined": "ours, words recombined",
        "peer": f"peer: {len(NEED_TAGS)} full pipelines a report",
    }
    for name, title in rows.items():
        if name in results:
            row = results[name]
            memory = f"{row['peak_memory_mb']:,.0f} MB" if "peak_memory_mb" in row else ""
            print(
                f"{title:34}{row['reports']:>9,}{row['seconds']:>9.2f}{row['reports_per_second']:>11.1f}{memory:>13}"
            )
    if "ratio" in results:
        print(f"ours / peer: {results['ratio']:.1f} times the reports a second, duplicates not counted")
    if "rate_of_recombined" in results:
        print(f"recombined / corpus: {results['rate_of_recombined']:.3f} times the reports a second")


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.perturbations", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--openi", type=Path, help="NLMCXR_reports.tgz, or a folder with its XML files")
    source.add_argument("--reports", type=Path, help="a text file, one report a line")
    parser.add_argument("--recombined", type=int, default=0, help="distinct reports to make of the corpus's words")
    parser.add_argument("--peer_reports", type=int, help="distinct reports for the peer (default: all; 0: no peer)")
    parser.add_argument("--num_proc", type=int, default=1, help="processes of ours (default: %(default)s)")
    parser.add_argument("--spacy_model", default=DEFAULT_SPACY_MODEL, help="default: %(default)s")
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args(argv)
    try:
        results = measure(_read(args), args.recombined, args.peer_reports, args.num_proc, args.spacy_model)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    _show(results)
    if args.json is not None:
        args.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
