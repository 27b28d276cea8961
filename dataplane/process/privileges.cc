// SPDX-License-Identifier: Apache-2.0
// See privileges.h.
#include "dataplane/process/privileges.h"

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace holdfast::dataplane {
namespace {

using CapabilityData = std::array<__user_cap_data_struct, 2>;

__user_cap_header_struct header_for_this_thread() {
  return {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
}

CapabilitySet permitted() {
  auto header = header_for_this_thread();
  CapabilityData data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) {
    return 0;
  }
  return data[0].permitted | (CapabilitySet{data[1].permitted} << 32U);
}

bool set_capabilities(CapabilitySet set) {
  auto header = header_for_this_thread();
  CapabilityData data{};
  data[0].permitted = data[0].effective = static_cast<std::uint32_t>(set);
  data[1].permitted = data[1].effective = static_cast<std::uint32_t>(set >> 32U);
  return ::syscall(SYS_capset, &header, data.data()) == 0;
}

void empty_bounding_set() {
  for (unsigned long capability = 0; ::prctl(PR_CAPBSET_READ, capability) >= 0; ++capability) {
    ::prctl(PR_CAPBSET_DROP, capability);
  }
}

bool become(const Account& account) {
  return ::prctl(PR_SET_KEEPCAPS, 1L) == 0 && ::setgroups(0, nullptr) == 0 &&
         ::setresgid(account.gid, account.gid, account.gid) == 0 &&
         ::setresuid(account.uid, account.uid, account.uid) == 0;
}

}  // namespace

CapabilityNeeds capability_needs(const StartupSpec& startup, const BusNeeds& bus) {
  CapabilityNeeds needs;
  if (!startup.routes.device.empty()) {
    needs = {.starting = kCapNetAdmin, .running = kCapNetAdmin};
  }
  for (const PortSpec& port : startup.ports) {
    switch (port.device) {
      case PortDevice::kAfPacket:
        needs.starting |= kCapNetRaw | kCapNetAdmin | kCapIpcLock;
        needs.running |= kCapNetAdmin;
        break;
      case PortDevice::kAfXdp:
        needs.starting |= kCapNetRaw | kCapNetAdmin | kCapIpcLock | kCapSysAdmin;
        break;
      case PortDevice::kTap:
        needs.starting |= kCapNetAdmin;
        break;
      default:
        break;
    }
    const std::size_t cards = pci_addresses(port).size();
    needs.starting |= cards == 0 ? 0 : kCapDacOverride;
    needs.starting |= cards != 0 && bus.physical_addresses ? kCapSysRawIo | kCapSysAdmin : 0;
    needs.starting |= cards < port.links.size() ? kCapNetAdmin : 0;
    needs.starting |= port.twin.empty() ? 0 : kCapNetAdmin;
  }
  return needs;
}

Result<Account> find_account(const std::string& name) {
  const passwd* entry = ::getpwnam(name.empty() ? "holdfast" : name.c_str());
  if (entry != nullptr) {
    return Account{.uid = entry->pw_uid, .gid = entry->pw_gid};
  }
  if (!name.empty()) {
    return fail(ExitCode::kUsage,
                fmt::format("there is no user {}: make it with `useradd --system {}`", name, name));
  }
  return Account{};
}

Result<std::string> drop_privileges(const Account& account, CapabilitySet keep) {
  std::string notice;
  empty_bounding_set();
  const bool root = ::geteuid() == 0;
  if (root && account.uid != 0 && !become(account)) {
    notice = fmt::format("stays uid 0 ({}): capabilities are dropped", strerror(errno));
  } else if (root && account.uid == 0) {
    notice = "stays uid 0, there is no user holdfast: capabilities are dropped";
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0L, 0L, 0L);
  if (!limit_thread_capabilities(keep) || ::prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) != 0) {
    return fail(ExitCode::kEnvironment,
                fmt::format("cannot drop capabilities: {}", strerror(errno)));
  }
  return notice;
}

bool limit_thread_capabilities(CapabilitySet keep) { return set_capabilities(permitted() & keep); }

}  // namespace holdfast::dataplane
