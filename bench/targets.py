# SPDX-License-Identifier: Apache-2.0
"""What each figure is to reach, by its name. Those that are not here are shown for comparison."""

AT_MOST = {
    "lookup.hit.uniform.1000": 8,
    "lookup.hit.uniform.100000": 12,
    "lookup.hit.uniform.1000000": 28,
    "lookup.hit.uniform.10000000": 36,
    "lookup.hit.uniform.100000000": 48,
    "stage.dsr_hit.1000000.total": 70,
    "stage.dsr_hit.10000000.total": 90,
    "stage.dsr_hit.100000000.total": 90,
    "stage.ipip_hit.1000000.total": 70,
    "stage.nat_hit.1000000.total": 70,
    "stage.nat_hit.10000000.total": 90,
    "stage.nat_reply.1000.total": 60,
    "stage.nat_reply.1000000.total": 100,
    "stage.dsr_insert.to_70.total": 150,
    "stage.dsr_insert.70_to_90.total": 150,
    "stage.nat_insert.to_70.total": 150,
    "stage.nat_insert.70_to_90.total": 150,
    "maglev.65537.equal_weights.10": 1,
    "maglev.65537.equal_weights.100": 1,
    "maglev.65537.equal_weights.1000": 1,
    "maglev.65537.one_gone.1000": 0.1,
    "maglev.65537.one_gone.needless": 0.1,
    "maglev.65537.most_over_mean.1000": 1.01,
    "memory.ipv4.1000000": 40,
    "memory.ipv4.10000000": 40,
    "memory.ipv6.1000000": 72,
    "memory.ipv6.10000000": 72,
    "memory.nat.1000000": 160,
    "memory.nat.10000000": 160,
    "cps.nat.failed": 0,
    "cps.dsr.failed": 0,
    "flood.dsr.flows_lost": 0,
    "flood.nat.flows_lost": 0,
    "flood.dsr.packets_lost": 0,
    "flood.nat.packets_lost": 0,
    "bindings.dsr.10000.over_one": 1.05,
    "bindings.nat.10000.over_one": 1.05,
    "publish.one_change": 50,
    "publish.everything": 2000,
    "publish.worst_burst.over_idle": 2,
    "publish.packets_lost": 0,
    "disposition.last_worker": 1,
    "latency.p50": 5,
    "latency.p99": 20,
}

# Flows that were picked to collide, beside random ones.
AT_MOST |= {
    f"keyed.{table}.{step}.beside_random": 2
    for table in ("flow4.crc32c", "flow4.jhash", "flow6.jhash", "nat.crc32c", "nat.jhash",
                  "nat6.jhash")
    for step in ("insert", "find")
}

AT_LEAST = {
    "process.nat.64.share_of_testpmd_5tswap": 0.40,
    "process.nat.1024.share_of_testpmd_5tswap": 0.40,
    "process.nat.65536.share_of_testpmd_5tswap": 0.33,
    "process.ipip.64.share_of_testpmd_5tswap": 0.40,
    "process.ipip.1024.share_of_testpmd_5tswap": 0.40,
    "process.ipip.65536.share_of_testpmd_5tswap": 0.33,
    "cps.nat": 2_000_000,
    "cps.dsr": 4_000_000,
    "flood.dsr.rate": 0.90,
    "flood.nat.rate": 0.90,
    "scale.process.two_workers": 0.97,
    "scale.pipeline.two_workers": 0.97,
}
