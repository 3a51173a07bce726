"""How well reviewing goes: consensus, items of known truth, throughput, the log for an auditor."""
