// SPDX-License-Identifier: Apache-2.0
// What the tunnel modes need of a service and its backends.
#include "config/ip.h"
#include "config/rules.h"

#include <algorithm>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

// The inner frame of `vxlan` has to be addressed to the backend; no other mode has one.
void check_inner_mac(const ServiceDraft& draft, const BackendDraft& backend, Journal& journal) {
  const bool vxlan = draft.service.mode == Mode::kVxlan;
  if (vxlan && !backend.inner_mac_known) {
    journal.error(backend.name,
                  fmt::format("backend '{}' has no 'inner_mac', which mode 'vxlan' needs",
                              backend.backend.name),
                  "it is the MAC address of the backend's vxlan interface");
  } else if (!vxlan && backend.inner_mac_known) {
    journal.error(backend.inner_mac,
                  fmt::format("mode '{}' has no inner MAC address: 'inner_mac' of backend '{}'",
                              mode_name(draft.service.mode),
                              backend.backend.name),
                  "only vxlan has");
  }
}

// Of the outer headers, at their longest.
std::uint16_t overhead(const ServiceDraft& draft, const Backend& backend) {
  const Service& service = draft.service;
  const std::size_t ip = backend.address.v6 ? 40 : 20;
  const auto others = draft.backends.size() - 1;
  const std::size_t hops = std::min<std::size_t>(service.tunnel.hops, others);
  std::size_t behind = 0;
  switch (service.mode) {
    case Mode::kGre:
      behind = 4;
      break;
    case Mode::kGue:
      behind = 8 + (service.tunnel.hops == 0 ? 0 : 8 + 4 * hops);
      break;
    case Mode::kVxlan:
      behind = 8 + 8 + 14;
      break;
    default:
      break;
  }
  return static_cast<std::uint16_t>(ip + behind);
}

// No IPv6 sender makes packets shorter because it is told of less than 1280 bytes (RFC 8200 §5), so
// what is longer than the way carries is lost for good.
void check_ipv6_passes(const ServiceDraft& draft, Journal& journal) {
  const auto vip =
      std::ranges::find_if(draft.service.vips, [](const Vip& one) { return one.address.v6; });
  if (!is_tunnel(draft.service.mode) || vip == draft.service.vips.end()) {
    return;
  }
  for (const BackendDraft& one : draft.backends) {
    const Backend& backend = one.backend;
    const std::uint16_t outer = overhead(draft, backend);
    if (backend.mtu == 0 || backend.mtu >= kLeastIpv6Mtu + outer) {
      continue;
    }
    journal.warning(one.mtu,
                    fmt::format("mtu {} of backend '{}' leaves {} bytes behind the {} of the "
                                "outer headers: IPv6 packets of VIP {} that are longer, up to {}, "
                                "never pass",
                                backend.mtu,
                                backend.name,
                                backend.mtu - outer,
                                outer,
                                vip->text(),
                                kLeastIpv6Mtu),
                    fmt::format("at least {}, if the way carries that", kLeastIpv6Mtu + outer));
  }
}

}  // namespace

void check_tunnel(const ServiceDraft& draft, Journal& journal) {
  if (!draft.mode_known) {
    return;
  }
  check_ipv6_passes(draft, journal);
  const Service& service = draft.service;
  if (service.mode == Mode::kVxlan && draft.tunnel.line == 0) {
    journal.error(draft.name,
                  fmt::format("service '{}' is in mode 'vxlan', but has no VNI", service.name),
                  "write tunnel: {vni: 100}");
  }
  for (const BackendDraft& backend : draft.backends) {
    check_inner_mac(draft, backend, journal);
    if (service.tunnel.hops != 0 && backend.backend.address.v6) {
      journal.error(
          backend.address,
          fmt::format("backend '{}' is IPv6, which a hop list cannot name", backend.backend.name));
    }
  }
  for (const IpAddress& source : service.tunnel.source) {
    if (std::ranges::any_of(service.vips, [&](const Vip& vip) { return vip.holds(source); })) {
      journal.error(
          draft.tunnel,
          fmt::format("the outer source {} is a VIP of service '{}'", source.text(), service.name));
    }
  }
}

}  // namespace holdfast::config
