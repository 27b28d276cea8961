# SPDX-License-Identifier: Apache-2.0
"""The lab: Holdfast, real clients and real servers in network namespaces of one machine.

Used by the demo, by `./run lab` and by the end-to-end tests. Standard library only, plus `ip`,
`nft`, `ethtool`, nginx and wrk. Everything that a run makes carries the run's id and is recorded
under a lock, so that the next run can clean up after one that was killed (see run_record.py).
"""
