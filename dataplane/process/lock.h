// SPDX-License-Identifier: Apache-2.0
// One owner per file, by flock(2), and per name in a network namespace, by an abstract Unix socket:
// either lock ends with its process, however it ends. Start-up only.
#pragma once

#include "dataplane/process/descriptor.h"
#include "dataplane/process/failure.h"

#include <string>

namespace holdfast::dataplane {

// Takes the lock on an open file. The failure (kRefused) names `what` and the process that holds
// it.
Result<void> lock_file(const Descriptor& file, const std::string& what);

// Makes `path` when it is missing, locks it and writes this process's id into it. `what` is what it
// protects, for the failure's text.
Result<Descriptor> acquire_lock(const std::string& path, const std::string& what);

// A name of this network namespace, held as long as the socket is open. Where a stranger has it,
// there is no socket but a notice.
struct HeldName {
  Descriptor socket;  // listens: whoever asks for the owner connects
  std::string notice;
};

// Takes a name that only one process of this network namespace may have. `what` is what it stands
// for, for the failure's text (kRefused), which names the owner. Anybody may bind such a name: an
// owner is who listens there as root or as the user that asks; others are strangers.
// Requires: `name` is not empty and shorter than 108 bytes.
Result<HeldName> acquire_name(const std::string& name, const std::string& what);

// Lets one of those go who have asked for the owner, so that there is room for the next. Requires:
// an open socket of a HeldName.
void dismiss_asker(const Descriptor& socket);

}  // namespace holdfast::dataplane
