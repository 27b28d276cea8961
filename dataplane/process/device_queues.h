// SPDX-License-Identifier: Apache-2.0
// A device's queues: of each kind one per worker where it can spread what it receives over them
// (RSS); else one, and our own dispatch behind it. plan_queues() decides from what the device says
// of itself, and is pure; start_queues() configures and starts the device so. Main thread, at
// start.
#pragma once

#include "dataplane/process/failure.h"
#include "dataplane/receive_spread.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <rte_mempool.h>

namespace holdfast::dataplane {

// What a device offers, of rte_eth_dev_info.
struct QueueOffer {
  std::uint16_t receive = 1;  // queues at most
  std::uint16_t transmit = 1;
  std::uint64_t hash_types = 0;             // RTE_ETH_RSS_*
  std::uint16_t table_size = 0;             // entries; 0: not known
  std::uint8_t key_bytes = 0;               // 0: not known
  std::uint64_t transmit_capabilities = 0;  // RTE_ETH_TX_OFFLOAD_*
};

struct QueuePlan {
  std::uint16_t receive = 1;
  std::uint16_t transmit = 1;
  std::uint64_t hash_types = 0;  // 0 with one receive queue
  std::string why_one;           // with one, and what that means
};

// Pure. Asks for the hashes over addresses and ports that the device offers. Transmit queues are
// more than one only where receive queues are: of net_ring one receives what the other sends.
QueuePlan plan_queues(const QueueOffer& offer, std::uint32_t workers);

// "ipv4,tcp4,...".
std::string hash_names(std::uint64_t hash_types);

// The protocols whose ports these types cover.
HashedPorts hashed_ports(std::uint64_t hash_types);

// Who polls a queue of port number `port`: queue i is worker i's where there is one for each
// worker, as ReceiveSpread says; else ports take turns. Pure.
constexpr std::uint32_t worker_of_queue(std::size_t port,
                                        std::uint16_t queue,
                                        std::uint16_t queues,
                                        std::uint32_t workers) {
  return queues == workers ? queue : static_cast<std::uint32_t>((port + queue) % workers);
}

// The offloads of the transmit queue that are worth having, docs/ports.md says why no others.
// `chains`: some port may deliver frames of several segments. Pure.
std::uint64_t plan_transmit_offloads(std::uint64_t capabilities, bool chains);

struct QueueSetup {
  std::uint16_t device = 0;  // DPDK's number
  std::uint32_t workers = 1;
  RssKey key{};
  std::uint32_t mtu = 0;                    // 0: the device's own
  bool chains = false;                      // as of plan_transmit_offloads()
  std::uint16_t most_receive = UINT16_MAX;  // queues
  bool interrupts = false;                  // of receive queues, where the driver has them
  rte_mempool* pool = nullptr;
};

struct DeviceQueues {
  std::uint16_t receive = 1;
  std::uint16_t transmit = 1;  // one, for all workers, or as many as these
  std::uint64_t hash_types = 0;
  // The device has taken our key and our table, so that ReceiveSpread tells its queues.
  bool foreseen = false;
  std::string text;  // for the log: what is in use, or why only one queue is
};

// Where replies arrive, when some devices are foreseen: by what all of these hash. Null: none is.
// Requires: all were started with this key and number of workers.
std::unique_ptr<const ReceiveSpread> foresee(std::span<const DeviceQueues> devices,
                                             const RssKey& key,
                                             std::uint32_t workers);

// Configures and starts the device with the queues of the plan; without interrupts, and with one of
// each kind, where the driver refuses more. Failure: the driver's reason.
Result<DeviceQueues> start_queues(const QueueSetup& setup);

}  // namespace holdfast::dataplane
