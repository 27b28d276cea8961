// SPDX-License-Identifier: Apache-2.0
// Reads what is fixed when a process starts: dataplane, control and pair; and the nat pool.
#include "config/ip.h"
#include "config/sections.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20U;
constexpr std::uint64_t kMostPoolAddresses = 65536;
constexpr std::array kPortRoles = {Word{"active", Role::kActive}, Word{"standby", Role::kStandby}};
constexpr std::array kIdles = {Word{"sleep", Idle::kSleep}, Word{"poll", Idle::kPoll}};

std::map<std::string, Place> places_of(const Fields& fields,
                                       std::span<const Key> keys,
                                       const Journal& journal) {
  std::map<std::string, Place> places;
  for (const Key key : keys) {
    if (fields.has(key)) {
      places.emplace(key, journal.place(fields.where(key)));
    }
  }
  return places;
}

// Reads 'socket'; returns where it stands.
Span read_socket(const Fields& fields, std::string& socket, SocketPlaces& sockets) {
  const Node* node = fields.set("socket", socket, path(kLongestSocket));
  const bool absent = !fields.has("socket") && !fields.may_be_lost("socket");
  sockets.complete = sockets.complete && (node != nullptr || absent);
  return node != nullptr ? node->where : Span{};
}

}  // namespace

void read_dataplane(const Node& node,
                    Dataplane& dataplane,
                    SocketPlaces& sockets,
                    Journal& journal) {
  const Fields fields(node, "'dataplane'", kDataplaneKeys, journal);
  fields.set("workers", dataplane.workers, automatic_or<std::uint32_t>(integer(1, 64)));
  fields.set("memory",
             dataplane.memory_bytes,
             automatic_or<std::uint64_t>(size(64 * kMebibyte, 1024 * 1024 * kMebibyte)));
  fields.set("flows", dataplane.flows, [](const Node& value) {
    return read_count(value, {1000, 500'000'000});
  });
  fields.set("huge_pages", dataplane.huge_pages, read_boolean);
  fields.set("idle", dataplane.idle, word(kIdles));
  fields.set("hash_key_file", dataplane.hash_key_file, path(kLongestPath));
  sockets.dataplane = read_socket(fields, dataplane.socket, sockets);
  fields.set("directory", dataplane.directory, path(kLongestPath));
  fields.set("state_file", dataplane.state_file, path(kLongestPath));
  fields.set("instance", dataplane.instance, read_name);
  dataplane.places = places_of(fields, kDataplaneKeys, journal);
}

void read_control(const Node& node, Control& control, SocketPlaces& sockets, Journal& journal) {
  const Fields fields(node, "'control'", kControlKeys, journal);
  sockets.control = read_socket(fields, control.socket, sockets);
  fields.set("directory", control.directory, path(kLongestPath));
  const Node* metrics = fields.set("metrics", control.metrics, read_listen);
  if (metrics != nullptr && listens_publicly(control.metrics)) {
    journal.warning(metrics->where, "metrics are open to everybody who reaches this address");
  }
  fields.set("allow_large_change", control.allow_large_change, read_boolean);
  control.places = places_of(fields, kControlKeys, journal);
}

void read_pair(const Node& node, std::optional<Pair>& pair, Journal& journal) {
  const Fields fields(node, "'pair'", kPairKeys, journal);
  pair.emplace().place = journal.place(node.where);
  fields.set("start", pair->start, word(kPortRoles));
}

bool read_nat(const Node& node, std::vector<PoolDraft>& pools, Journal& journal) {
  const Fields fields(node, "'nat'", kNatKeys, journal);
  fields.require("pool");
  std::uint64_t addresses = 0;
  const bool complete = fields.each("pool", [&](const Node& item) {
    const Read<AddressRange> range = read_range(item);
    if (!range) {
      return fields.report(item, "pool", range.error());
    }
    const bool fitted = addresses <= kMostPoolAddresses;
    addresses += range_size(*range);
    if (fitted && addresses > kMostPoolAddresses) {
      journal.error(item.where,
                    fmt::format("the pool has more than {} addresses", kMostPoolAddresses));
    }
    pools.push_back({*range, item.where});
  });
  const Node* list = fields.find("pool");
  if (complete && list != nullptr && list->items.empty()) {
    journal.error(list->where, "'pool' is empty");
    return false;
  }
  return complete && fields.has("pool");
}

}  // namespace holdfast::config
