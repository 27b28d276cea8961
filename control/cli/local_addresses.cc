// SPDX-License-Identifier: Apache-2.0
// See local_addresses.h.
#include "control/cli/local_addresses.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <system_error>

#include <ifaddrs.h>
#include <netinet/in.h>

namespace holdfast::control {
namespace {

std::optional<config::IpAddress> ip_of(const sockaddr* address) {
  config::IpAddress ip;
  if (address != nullptr && address->sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, address, sizeof v4);
    std::memcpy(ip.bytes.data(), &v4.sin_addr, sizeof v4.sin_addr);
    return ip;
  }
  if (address != nullptr && address->sa_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, address, sizeof v6);
    std::ranges::copy(v6.sin6_addr.s6_addr, ip.bytes.begin());
    ip.v6 = true;
    return ip;
  }
  return std::nullopt;
}

}  // namespace

std::expected<std::vector<config::LocalAddress>, std::string> load_local_addresses() {
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) {
    return std::unexpected(std::generic_category().message(errno));
  }
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(list, &::freeifaddrs);
  std::vector<config::LocalAddress> found;
  for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
    if (const auto address = ip_of(one->ifa_addr)) {
      found.push_back({*address, one->ifa_name});
    }
  }
  return found;
}

std::string unread_addresses_text(std::string_view reason) {
  return "this machine's addresses cannot be read (" + std::string(reason) +
         "), so VIPs are not compared with them";
}

}  // namespace holdfast::control
