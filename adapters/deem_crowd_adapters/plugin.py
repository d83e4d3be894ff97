"""The plugin through which the built-in adapters register themselves, by address."""

from __future__ import annotations

from collections.abc import Mapping

from deem_crowd.plugins.hookspecs import Offer, hookimpl


@hookimpl
def deem_crowd_adapters() -> Mapping[str, Offer]:
    """Offer the adapters by name, each with a line about what it takes."""
    package = __name__.rpartition(".")[0]
    offers = {
        "any": ("dispatch:to_answers", "whatever is recognised: tables, arrays, files, exports"),
        "long": ("long:from_long", "table of answers: task, worker, label (pandas, polars, Arrow)"),
        "wide": ("wide:from_wide", "DataFrame, one row a task, one column a worker, NaN missing"),
        "dense": ("arrays:from_dense", "matrix of labels, shape (N, D), −1 missing"),
        "soft": ("arrays:from_soft", "array of distributions, shape (N, K, D)"),
        "soft-long": (
            "long:from_soft_long",
            "table of soft answers: task, worker, one probability column per class",
        ),
        "polars": ("long:from_long", "polars DataFrame or LazyFrame: task, worker, label"),
        "arrow": ("long:from_long", "Arrow table, batch or stream: task, worker, label"),
        "csv": ("reading:from_csv", "CSV file or '-', also compressed: task, worker, label"),
        "tsv": ("reading:from_tsv", "TSV file or '-', also compressed: task, worker, label"),
        "jsonl": ("reading:from_jsonl", "JSON lines, also compressed: task, worker, label"),
        "parquet": ("reading:from_parquet", "parquet file: task, worker, label"),
        "label-studio": ("exports.tools:from_label_studio", "Label Studio: JSON, JSON-MIN, CSV"),
        "prodigy": ("exports.tools:from_prodigy", "Prodigy: JSON lines of db-out"),
        "argilla": ("exports.tools:from_argilla", "Argilla: records or dataset with responses"),
        "doccano": (
            "exports.tools:from_doccano",
            "doccano: JSON lines, JSON or CSV, a file a user",
        ),
        "mturk": ("exports.tools:from_mturk", "Mechanical Turk: batch results, CSV"),
        "toloka": ("exports.tools:from_toloka", "Toloka: assignments, TSV"),
        "pairwise": (
            "pairwise:from_pairwise",
            "verdicts on pairs, some of them swapped: task, worker, label, order",
        ),
        "scores": (
            "scores:from_scores",
            "numeric scores of judges, each on a scale of its own: task, worker, score",
        ),
        "promptfoo": (
            "exports.tools:from_promptfoo",
            "promptfoo results: an output, a grader, pass or fail",
        ),
        "inspect": (
            "exports.tools:from_inspect",
            "Inspect logs (.eval, .json): a sample, a scorer, its value",
        ),
        "mt-bench": ("exports.tools:from_mt_bench", "MT-Bench judgments, of models and of people"),
        "alpaca-eval": ("exports.tools:from_alpaca_eval", "AlpacaEval annotations.json"),
        "llmbar": ("exports.tools:from_llmbar", "LLMBar evaluators' result.json"),
        "judgebench": (
            "exports.tools:from_judgebench",
            "JudgeBench outputs, second order mapped back",
        ),
        "wrench": ("exports.tools:from_wrench", "WRENCH JSON with weak_labels"),
        "snorkel": ("exports.tools:from_snorkel", "label matrix in npy, npz or JSON (abstain=)"),
        "cvat": ("exports.tools:from_cvat", "CVAT for images 1.1: tags of images"),
        "labelbox": (
            "exports.tools:from_labelbox",
            "Labelbox classifications, JSON, CSV or NDJSON",
        ),
        "zooniverse": ("exports.tools:from_zooniverse", "Zooniverse: classification export"),
        "sagemaker": ("exports.tools:from_sagemaker", "SageMaker Ground Truth: answers of workers"),
        "figure-eight": ("exports.tools:from_figure_eight", "Figure Eight (Appen) full report"),
        "form": (
            "exports.tools:from_form",
            "form or survey, one row a person, one column a task: worker=, tasks=",
        ),
        "excel": (
            "exports.tools:from_excel",
            "Excel workbook: a long sheet, or a sheet an annotator (extra: excel)",
        ),
    }
    return {name: (f"{package}.{where}", line) for name, (where, line) in offers.items()}
