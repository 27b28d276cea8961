// SPDX-License-Identifier: Apache-2.0
// The XDP program that an af_xdp port left on its interface. The driver loads libxdp's default one
// and would take it away at the end, for which the process then lacks the privilege: it stays, and
// libxdp does not start over one whose last socket is gone. So the next start takes it away.
#pragma once

#include "dataplane/process/failure.h"

#include <string>

namespace holdfast::dataplane {

// Detaches libxdp's default program from the interface; any other program is somebody else's and
// stays. True: there was one. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN.
Result<bool> detach_left_program(const std::string& interface);

}  // namespace holdfast::dataplane
