"""The cached reference against recomputing it and against uncached baselines, in one run.

Run `python benchmarks/compare.py [--only embedded] [--bf16] [--rounds N] [--out FILE]`: the same as
`realmaster bench --compare`, whose flags it takes.
"""

import sys

from realmaster_live.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", "--compare", *sys.argv[1:]]))
