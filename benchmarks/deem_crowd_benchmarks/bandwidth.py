"""How close a pass over the answers comes to memory: its time beside that of plainly gathering the same arrays.

    python -m deem_crowd_benchmarks.bandwidth [--device cpu]

A pass is what training does once per iteration: sums by task, softmax, sums by worker and label. The gather reads the
same indices once each and fetches, without adding, the rows they point at: the worker's row of the table for every
answer, the task's row of the posterior for every answer. The copy moves as many bytes as a pass has to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table

from deem_crowd.data.answers import Answers
from deem_crowd.model.design import DesignMatrix, resolve_device
from deem_crowd.model.rows import softmax
from deem_crowd_benchmarks.sets.laws import crowd_of


def best_of(action: Callable[[], object], device: torch.device, repeats: int = 7) -> float:
    """Return the shortest of some runs, in seconds, after one that does not count."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - began)
    return min(times[1:])


def measure(n_answers: int, device: torch.device) -> dict[str, float]:
    """Return seconds of a pass, of the gather, and of copying as many bytes as a pass has to move."""
    answers = Answers.from_frame(crowd_of(n_answers, 0).answers)
    design = DesignMatrix(answers, device, torch.float32)
    k = answers.n_classes
    table = torch.randn((design.n_workers, k, k), device=device)
    flat = table.reshape(-1, k)
    code = torch.from_numpy(answers.worker * k + answers.hard_label).to(device)
    posterior = torch.rand((design.n_tasks, k), device=device)
    task = torch.from_numpy(answers.task[torch.argsort(code, stable=True).cpu().numpy()]).to(device)

    def one_pass() -> None:
        design.expected_counts(softmax(design.logits(table))[0])

    def gather() -> None:
        flat.index_select(0, code)
        posterior.index_select(0, task)

    # two indices and two rows an answer, and a posterior written and read
    moved = answers.n_answers * 2 * (4 + 4 * k) + answers.n_tasks * 2 * 4 * k
    source = torch.empty(moved // 8, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    return {
        "pass": best_of(one_pass, device),
        "gather": best_of(gather, device),
        "copy": best_of(lambda: target.copy_(source), device),
        "answers": answers.n_answers,
    }


def main(device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "cpu") -> None:
    """Print the table."""
    place = resolve_device(device)
    table = Table(
        "answers", "pass ms", "gather ms", "pass / gather", "copy ms", "pass / copy", box=None
    )
    for n_answers in (10**5, 10**6, 10**7):
        row = measure(n_answers, place)
        ms = {name: 1000 * row[name] for name in ("pass", "gather", "copy")}
        table.add_row(
            f"{row['answers']:,.0f}",
            f"{ms['pass']:.2f}",
            f"{ms['gather']:.2f}",
            f"{ms['pass'] / ms['gather']:.2f}",
            f"{ms['copy']:.2f}",
            f"{ms['pass'] / ms['copy']:.1f}",
        )
    Console(width=100).print(table)


if __name__ == "__main__":
    typer.run(main)
