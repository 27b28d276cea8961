// SPDX-License-Identifier: Apache-2.0
// See device_queues.h.
#include "dataplane/process/device_queues.h"

#include "dataplane/process/eal.h"
#include "dataplane/process/memory_plan.h"

#include <algorithm>
#include <array>
#include <bit>
#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <rte_ethdev.h>

namespace holdfast::dataplane {
namespace {

struct HashName {
  std::uint64_t type;
  std::string_view name;
};
// A card hashes a packet by the most exact type it has been asked for.
constexpr auto kWanted = std::to_array<HashName>({{RTE_ETH_RSS_IPV4, "ipv4"},
                                                  {RTE_ETH_RSS_FRAG_IPV4, "frag4"},
                                                  {RTE_ETH_RSS_NONFRAG_IPV4_TCP, "tcp4"},
                                                  {RTE_ETH_RSS_NONFRAG_IPV4_UDP, "udp4"},
                                                  {RTE_ETH_RSS_IPV6, "ipv6"},
                                                  {RTE_ETH_RSS_FRAG_IPV6, "frag6"},
                                                  {RTE_ETH_RSS_NONFRAG_IPV6_TCP, "tcp6"},
                                                  {RTE_ETH_RSS_NONFRAG_IPV6_UDP, "udp6"}});

constexpr std::uint64_t wanted_types() {
  std::uint64_t types = 0;
  for (const HashName& wanted : kWanted) {
    types |= wanted.type;
  }
  return types;
}

QueueOffer offer_of(const rte_eth_dev_info& info) {
  return {.receive = info.max_rx_queues,
          .transmit = info.max_tx_queues,
          .hash_types = info.flow_type_rss_offloads,
          .table_size = info.reta_size,
          .key_bytes = info.hash_key_size,
          .transmit_capabilities = info.tx_offload_capa};
}

Result<void> refused() { return fail(ExitCode::kEnvironment, take_eal_log()); }

// The key's length as this device takes it.
std::uint8_t key_length(const QueueOffer& offer) {
  const std::size_t length = offer.key_bytes != 0 ? offer.key_bytes : kRssKeyRead;
  return static_cast<std::uint8_t>(std::min(length, sizeof(RssKey)));
}

Result<void> configure_and_start(const QueueSetup& setup,
                                 const QueueOffer& offer,
                                 const QueuePlan& plan) {
  rte_eth_conf configuration{};
  configuration.rxmode.mtu = setup.mtu;
  configuration.intr_conf.rxq = setup.interrupts ? 1U : 0U;
  configuration.txmode.offloads = plan_transmit_offloads(offer.transmit_capabilities, setup.chains);
  RssKey key = setup.key;  // DPDK takes it as writable
  if (plan.receive > 1) {
    configuration.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    configuration.rx_adv_conf.rss_conf = {
        .rss_key = key.data(), .rss_key_len = key_length(offer), .rss_hf = plan.hash_types};
  }
  const auto socket = static_cast<unsigned>(SOCKET_ID_ANY);
  std::uint16_t receive_descriptors = kDeviceDescriptors;
  std::uint16_t transmit_descriptors = kDeviceDescriptors;
  if (rte_eth_dev_configure(setup.device, plan.receive, plan.transmit, &configuration) != 0 ||
      rte_eth_dev_adjust_nb_rx_tx_desc(setup.device, &receive_descriptors, &transmit_descriptors) !=
          0) {
    return refused();
  }
  for (std::uint16_t queue = 0; queue < plan.receive; ++queue) {
    if (rte_eth_rx_queue_setup(
            setup.device, queue, receive_descriptors, socket, nullptr, setup.pool) != 0) {
      return refused();
    }
  }
  for (std::uint16_t queue = 0; queue < plan.transmit; ++queue) {
    if (rte_eth_tx_queue_setup(setup.device, queue, transmit_descriptors, socket, nullptr) != 0) {
      return refused();
    }
  }
  return rte_eth_dev_start(setup.device) == 0 ? Result<void>() : refused();
}

bool set_table(const QueueSetup& setup, const QueueOffer& offer, const QueuePlan& plan) {
  constexpr std::size_t kGroup = RTE_ETH_RETA_GROUP_SIZE;
  const auto table = build_rss_table(offer.table_size, plan.receive);
  std::vector<rte_eth_rss_reta_entry64> groups((table.size() + kGroup - 1) / kGroup);
  for (std::size_t i = 0; i < table.size(); ++i) {
    groups[i / kGroup].mask |= std::uint64_t{1} << (i % kGroup);
    groups[i / kGroup].reta[i % kGroup] = table[i];
  }
  return !table.empty() &&
         rte_eth_dev_rss_reta_update(setup.device, groups.data(), offer.table_size) == 0;
}

bool has_our_key(const QueueSetup& setup, const QueueOffer& offer) {
  RssKey key{};
  rte_eth_rss_conf in_use = {.rss_key = key.data(), .rss_key_len = key_length(offer), .rss_hf = 0};
  return rte_eth_dev_rss_hash_conf_get(setup.device, &in_use) == 0 &&
         std::equal(key.begin(), key.begin() + kRssKeyRead, setup.key.begin());
}

// Some drivers take the key of the configuration without using it; virtual functions may have to
// live with their card's.
bool set_key(const QueueSetup& setup, const QueueOffer& offer, const QueuePlan& plan) {
  if (has_our_key(setup, offer)) {
    return true;
  }
  RssKey key = setup.key;
  rte_eth_rss_conf wanted = {
      .rss_key = key.data(), .rss_key_len = key_length(offer), .rss_hf = plan.hash_types};
  return rte_eth_dev_rss_hash_update(setup.device, &wanted) == 0 && has_our_key(setup, offer);
}

}  // namespace

QueuePlan plan_queues(const QueueOffer& offer, std::uint32_t workers) {
  QueuePlan plan;
  plan.hash_types = offer.hash_types & wanted_types();
  std::uint32_t queues = std::min<std::uint32_t>(workers, offer.receive);
  if (offer.table_size != 0) {
    queues = std::min<std::uint32_t>(queues, offer.table_size);
  }
  if (workers == 1) {
    plan.why_one = "one worker";
  } else if (queues < 2) {
    plan.why_one = "software dispatch, the device has no more";
  } else if (plan.hash_types == 0) {
    plan.why_one = "software dispatch, the device hashes nothing that we know";
  } else {
    plan.receive = static_cast<std::uint16_t>(queues);
    plan.transmit =
        queues == workers && offer.transmit >= workers ? plan.receive : std::uint16_t{1};
    return plan;
  }
  plan.hash_types = 0;
  return plan;
}

std::string hash_names(std::uint64_t hash_types) {
  std::vector<std::string_view> names;
  for (const HashName& wanted : kWanted) {
    if ((hash_types & wanted.type) != 0) {
      names.push_back(wanted.name);
    }
  }
  return fmt::format("{}", fmt::join(names, ","));
}

HashedPorts hashed_ports(std::uint64_t hash_types) {
  return {.tcp4 = (hash_types & RTE_ETH_RSS_NONFRAG_IPV4_TCP) != 0,
          .udp4 = (hash_types & RTE_ETH_RSS_NONFRAG_IPV4_UDP) != 0,
          .tcp6 = (hash_types & RTE_ETH_RSS_NONFRAG_IPV6_TCP) != 0,
          .udp6 = (hash_types & RTE_ETH_RSS_NONFRAG_IPV6_UDP) != 0};
}

std::uint64_t plan_transmit_offloads(std::uint64_t capabilities, bool chains) {
  return chains ? capabilities & RTE_ETH_TX_OFFLOAD_MULTI_SEGS : 0;
}

std::unique_ptr<const ReceiveSpread> foresee(std::span<const DeviceQueues> devices,
                                             const RssKey& key,
                                             std::uint32_t workers) {
  std::uint64_t hashed_by_all = wanted_types();
  bool any = false;
  for (const DeviceQueues& device : devices) {
    if (device.foreseen) {
      hashed_by_all &= device.hash_types;
      any = true;
    }
  }
  return any ? std::make_unique<const ReceiveSpread>(key, workers, hashed_ports(hashed_by_all))
             : nullptr;
}

Result<DeviceQueues> start_queues(const QueueSetup& setup) {
  rte_eth_dev_info info{};
  if (rte_eth_dev_info_get(setup.device, &info) != 0) {
    return std::unexpected(refused().error());
  }
  QueueOffer offer = offer_of(info);
  offer.receive = std::min(offer.receive, setup.most_receive);
  QueuePlan plan = plan_queues(offer, setup.workers);
  auto started = configure_and_start(setup, offer, plan);
  QueueSetup plainer = setup;
  if (!started && setup.interrupts) {
    plainer.interrupts = false;
    started = configure_and_start(plainer, offer, plan);
  }
  if (!started && plan.receive > 1) {
    plan = {.why_one = fmt::format("software dispatch, the driver refuses {}: {}",
                                   plan.receive,
                                   started.error().text)};
    started = configure_and_start(plainer, offer, plan);
  }
  if (!started) {
    return std::unexpected(started.error());
  }
  DeviceQueues queues{
      .receive = plan.receive, .transmit = plan.transmit, .hash_types = plan.hash_types};
  if (plan.receive == 1) {
    queues.text = fmt::format("queues=1: {}", plan.why_one);
    return queues;
  }
  const bool placed = set_table(setup, offer, plan);
  queues.foreseen = placed && set_key(setup, offer, plan) && plan.receive == setup.workers &&
                    agrees_with_spread(offer.table_size, plan.receive);
  queues.text = fmt::format("queues={} transmit={} hash={} table={} flows={}",
                            plan.receive,
                            plan.transmit,
                            hash_names(plan.hash_types),
                            placed ? fmt::format("{}", offer.table_size) : "the driver's",
                            queues.foreseen ? "to their owners" : "to any worker");
  return queues;
}

}  // namespace holdfast::dataplane
