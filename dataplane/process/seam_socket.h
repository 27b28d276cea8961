// SPDX-License-Identifier: Apache-2.0
// The seam's listening sockets: `PATH` for the writer, `PATH.ro` for readers, both 0660 in a
// directory that is made 0750 when missing. One owner, by the lock `PATH.lock`. Start-up only,
// before privileges are dropped.
#pragma once

#include "dataplane/process/descriptor.h"
#include "dataplane/process/failure.h"

#include <string>

namespace holdfast::dataplane {

struct SeamSockets {
  Descriptor lock;
  Descriptor writer;
  Descriptor reader;
  std::string path;
};

// Takes the sockets' names away, that for a successor (handover.h) too; their directory may no
// longer be ours to write to.
void unlink_seam_sockets(const std::string& path);

// `group` gets the sockets; uid and gid of a directory made here are root's and the group's.
Result<SeamSockets> open_seam_sockets(const std::string& path, unsigned group);

// Makes a directory (and its parents) with this mode when it is missing, and gives it to the owner.
Result<void> make_directory(const std::string& path, unsigned uid, unsigned gid);

}  // namespace holdfast::dataplane
