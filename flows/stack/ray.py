"""`python -m flows.stack.ray start ...`: Ray's command line, for machines on which much else starts at the same time.

`ray start` does not tell its raylet which port the dashboard's agent was given: the raylet waits 15 s for the agent to say so,
and ends itself when that is late.
"""

import argparse

from ray.scripts.scripts import main as ray_main

from labeling.pool.ray import raylet_options


def main() -> None:
    """Do what `ray` does with the same arguments."""
    known = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    known.add_argument("--dashboard-agent-listen-port", type=int, required=True)
    port = known.parse_known_args()[0].dashboard_agent_listen_port
    with raylet_options(f"--dashboard_agent_listen_port={port}"):
        ray_main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
