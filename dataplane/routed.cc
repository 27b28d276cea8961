// SPDX-License-Identifier: Apache-2.0
// See routed.h.
#include "dataplane/routed.h"

namespace holdfast::dataplane {
namespace {

bool is_bound(const BindingRecord& record) {
  return record.state == RegistryState::kActive && record.protocol != kNoProtocol;
}

VipPrefix vip_of(const BindingRecord& record) { return {record.vip, record.prefix_bits}; }

}  // namespace

std::size_t set_routed(const BindingRegistry& bindings, const std::set<VipPrefix>& vips) {
  for (BindingRecord& record : bindings.records()) {
    record.routed = is_bound(record) && vips.contains(vip_of(record)) ? 1 : 0;
  }
  return routed_vips(bindings).size();
}

std::set<VipPrefix> routed_vips(const BindingRegistry& bindings) {
  std::set<VipPrefix> vips;
  for (const BindingRecord& record : bindings.records()) {
    if (is_bound(record) && record.routed == 1) {
      vips.insert(vip_of(record));
    }
  }
  return vips;
}

void forget_unbound_routes(const BindingRegistry& bindings) {
  for (BindingRecord& record : bindings.records()) {
    record.routed = is_bound(record) ? record.routed : 0;
  }
}

}  // namespace holdfast::dataplane
