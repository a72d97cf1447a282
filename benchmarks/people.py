"""Time and memory of clustering faces by person: python -m benchmarks.people 100000.

Faces are random descriptors scattered around 3,000 people, with the distances of dlib's descriptors.
"""

import resource
import sys
import time

import numpy as np

from dfd.scoring.leaks import person_links

PEOPLE, SIDES, FACTORS = 3000, 128, 24
BETWEEN, WITHIN = 0.66, 0.45
"""Mean Euclidean distance between faces of two people, and between faces of one person."""


def main(count: int) -> None:
    """Print time and memory for `count` faces."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (PEOPLE, FACTORS)) @ rng.normal(0, 1, (FACTORS, SIDES))
    centres *= BETWEEN / np.sqrt(2 * (centres**2).sum(axis=1).mean())
    who = rng.integers(0, PEOPLE, count)
    faces = centres[who] + rng.normal(0, WITHIN / np.sqrt(2 * SIDES), (count, SIDES))
    names, start = [str(number) for number in range(count)], time.monotonic()
    found = len({first for _, first in person_links(faces, names, 0.5)})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    seconds = time.monotonic() - start
    print(f"{count} faces of {len(set(who.tolist()))} people: {found} clusters, {seconds:.1f} s, {peak:.2f} GB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 16_000)
