"""All videos of an archive into a table, on a Ray cluster; then how often each label was told.

python examples/ray_batch/recognise.py ARCHIVE RESULTS.parquet
"""

import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet

from service.batch.journal import Counts, Listed
from service.batch.ray_engine import answer_on_ray
from service.batch.run import run_batch
from service.batch.terms import Terms


class Printed:
    """Who is told how far the run is."""

    def listed(self, listed: Listed, before: Counts) -> None:
        print(f"{listed.inputs} videos, {before.answered + before.failed} of them done before")

    def row(self, source: str, problem: str | None) -> None:
        if problem is not None:
            print(f"{source}: {problem}")


def main(archive: str, out: Path) -> None:
    terms = Terms(options=(("top_k", "3"),))  # as in the query of POST /v1/recognitions
    run_batch([archive], out, terms, answer_on_ray, Printed())
    labels = pyarrow.parquet.read_table(out, columns=["label"])["label"].to_pylist()
    for label, count in Counter(labels).most_common():
        print(f"{count:6} {label or '(no label)'}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
