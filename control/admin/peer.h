// SPDX-License-Identifier: Apache-2.0
// Who is at the other end of a Unix socket, as the audit lines name them. Reads SO_PEERCRED and
// /etc/passwd; it asks no name service, which could block the control thread.
#pragma once

#include <string>

namespace holdfast::control {

// "uid=1000(ops)", "uid=1000" when /etc/passwd does not name it, "" for other sockets.
std::string peer_name(int descriptor);

}  // namespace holdfast::control
