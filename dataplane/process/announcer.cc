// SPDX-License-Identifier: Apache-2.0
// See announcer.h.
#include "dataplane/process/announcer.h"

#include <utility>

namespace holdfast::dataplane {
namespace {

// Per call: 3200 a second at one call every 10 ms.
constexpr std::size_t kAddressesPerCall = 32;

}  // namespace

void Announcer::generation_changed(const Generation& generation) {
  std::set<Address> now;
  now.insert(generation.bindings().vips().begin(), generation.bindings().vips().end());
  for (const bool v4 : {true, false}) {
    const std::span<const Address> pool = generation.pool_addresses(v4);
    now.insert(pool.begin(), pool.end());
  }
  for (const Address& address : now) {
    if (speaks_ && !ours_.contains(address)) {
      queue_.push_back({.address = address, .only = std::nullopt});
    }
  }
  ours_ = std::move(now);
}

void Announcer::speak(bool speaks) {
  speaks_ = speaks;
  queue_.clear();
  repeat();
}

void Announcer::repeat() {
  for (const Address& address : ours_) {
    if (speaks_) {
      queue_.push_back({.address = address, .only = std::nullopt});
    }
  }
}

void Announcer::link_came_up(PortIndex port) {
  if (!speaks_) {
    return;
  }
  std::erase_if(queue_, [&](const Item& item) { return item.only == port; });
  for (const Address& address : ours_) {
    queue_.push_back({.address = address, .only = port});
  }
}

void Announcer::send_some(const Neighborhood& neighborhood, Worker& worker) {
  for (std::size_t i = 0; i < kAddressesPerCall && !queue_.empty(); ++i) {
    const Item item = queue_.front();
    for (const Link& link : neighborhood.links()) {
      if (link.interface_index == 0 || !link.up || item.only.value_or(link.port) != link.port ||
          !ours_.contains(item.address) || !neighborhood.on_link(item.address, link.port)) {
        continue;
      }
      if (!worker.announcements.push(
              {.address = item.address, .mac = link.mac, .port = link.port})) {
        return;  // the ring is full: the rest waits
      }
    }
    queue_.pop_front();
  }
}

}  // namespace holdfast::dataplane
