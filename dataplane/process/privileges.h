// SPDX-License-Identifier: Apache-2.0
// The capabilities that the process keeps, and when. Capabilities belong to threads: they are
// dropped before a thread is made, or by the thread itself before it does anything else.
//
//   ports         while starting          main thread after start     workers and DPDK's threads
//   af_packet     NET_RAW, NET_ADMIN,     NET_ADMIN                    none
//                 IPC_LOCK
//   af_xdp        NET_RAW, NET_ADMIN,     none                         none
//                 IPC_LOCK, SYS_ADMIN
//   pci, vfio     DAC_OVERRIDE            none                         none
//   pci, uio      DAC_OVERRIDE,           none                         none
//                 SYS_RAWIO, SYS_ADMIN
//   bond          as its links: those of pci, or of tap
//   with a twin   NET_ADMIN               none                         none
//   tap           NET_ADMIN               none                         none
//   with routes   NET_ADMIN               NET_ADMIN                    none
//   others        none                    none                         none
//
// NET_RAW opens the packet sockets; NET_ADMIN sets the link flags at their start, changes the nft
// ingress table with each generation, makes TAP interfaces, and routes to VIPs (vip_routes.h). BPF
// and PERFMON load the XDP program. Until the start is over one more thread keeps what the main
// thread keeps after it: that which ends a start on request, and takes the nft table away
// (start_interruption.h). DAC_OVERRIDE opens the card's VFIO group or UIO device, which belong to
// root; without an IOMMU the card is given physical addresses, which SYS_ADMIN reads, and virtio's
// old interface I/O ports (SYS_RAWIO). Before anything else, no_new_privs is set and the bounding
// set emptied, so nothing that is gone comes back. IPC_LOCK lets the driver lock its packet rings.
#pragma once

#include "dataplane/process/failure.h"
#include "dataplane/process/port_device.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <string>

namespace holdfast::dataplane {

using CapabilitySet = std::uint64_t;  // bit n is capability n of capabilities(7)

inline constexpr CapabilitySet kCapDacOverride = 1ULL << 1U;
inline constexpr CapabilitySet kCapNetAdmin = 1ULL << 12U;
inline constexpr CapabilitySet kCapNetRaw = 1ULL << 13U;
inline constexpr CapabilitySet kCapIpcLock = 1ULL << 14U;
inline constexpr CapabilitySet kCapSysRawIo = 1ULL << 17U;
inline constexpr CapabilitySet kCapSysAdmin = 1ULL << 21U;

// Capabilities that the ports and routes need; see the table above.
struct CapabilityNeeds {
  CapabilitySet starting = 0;
  CapabilitySet running = 0;
};
CapabilityNeeds capability_needs(const StartupSpec& startup, const BusNeeds& bus);

struct Account {
  unsigned uid = 0;
  unsigned gid = 0;
};

// The account to become: `name` must exist when given; else "holdfast" when it exists. uid 0 means
// that there is none to become.
Result<Account> find_account(const std::string& name);

// Becomes `account` when running as root and there is one, keeps at most `keep`, sets no_new_privs
// and empties the bounding set. Call while the process has one thread. Returns a notice when the
// uid stayed root, or an empty text.
Result<std::string> drop_privileges(const Account& account, CapabilitySet keep);

// Reduces the calling thread to at most `keep`.
bool limit_thread_capabilities(CapabilitySet keep);
inline bool drop_thread_capabilities() { return limit_thread_capabilities(0); }

}  // namespace holdfast::dataplane
