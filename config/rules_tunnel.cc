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

}  // namespace

void check_tunnel(const ServiceDraft& draft, Journal& journal) {
  if (!draft.mode_known) {
    return;
  }
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
