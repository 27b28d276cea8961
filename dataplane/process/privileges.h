// SPDX-License-Identifier: Apache-2.0
// The capabilities that the process keeps, and when. Capabilities belong to threads: they are
// dropped before a thread is made, or by the thread itself before it does anything else.
//
//   ports         while starting          main thread after start     workers and DPDK's threads
//   af_packet     NET_RAW, NET_ADMIN,     NET_ADMIN                    none
//                 IPC_LOCK
//   in-process    none                    none                         none
//
// NET_RAW opens the packet sockets; NET_ADMIN sets the link flags at their start and changes the
// nft ingress table with each generation. Before anything else, no_new_privs is set and the
// bounding set emptied, so nothing that is gone comes back. IPC_LOCK lets the driver lock its
// packet rings.
#pragma once

#include "dataplane/process/failure.h"

#include <cstdint>
#include <string>

namespace holdfast::dataplane {

using CapabilitySet = std::uint64_t;  // bit n is capability n of capabilities(7)

inline constexpr CapabilitySet kCapNetAdmin = 1ULL << 12U;
inline constexpr CapabilitySet kCapNetRaw = 1ULL << 13U;
inline constexpr CapabilitySet kCapIpcLock = 1ULL << 14U;

// Capabilities that each kind of port needs; see the table above.
struct CapabilityNeeds {
  CapabilitySet starting = 0;
  CapabilitySet running = 0;
};
CapabilityNeeds capability_needs(bool has_packet_ports);

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
