// SPDX-License-Identifier: Apache-2.0
// From what control starts: the last accepted revision, whatever the file on disk says meanwhile;
// the file itself only when there is no revision yet. Blocking, before the event loop.
#pragma once

#include "config/local_address.h"
#include "config/model.h"
#include "control/admin/file_descriptor.h"
#include "control/engine/engine.h"

#include <expected>
#include <string>
#include <vector>

namespace holdfast::control {

struct StartFailure {
  int exit_code = 0;
  std::string text;  // lines for the operator, the last one without '\n'
};

struct ControlStart {
  EngineStart engine;
  config::Control settings;      // where to listen; the file's when it is valid
  std::string dataplane_socket;  // likewise
  FileDescriptor lock;           // on the directory: one control at a time
};

struct StartPlace {
  std::string config;     // absolute
  std::string directory;  // empty: control.directory of the file
  // A symbolic link that each start points at its directory, for a later start with a file from
  // which even that cannot be read; empty: none.
  std::string last_directory;
};

// A revision counts only when it was made from the same file.
std::expected<ControlStart, StartFailure> load_control_start(const StartPlace& place);

// Refuses, as `check` does, a VIP or an address of the nat pool that is one of `here`, but only the
// start that can put nothing in force: no revision was ever accepted, and nothing is forwarded,
// because the dataplane says so or is not there. Any other start goes on: the file may have been
// corrected since the revision, a dataplane that cannot be asked may forward, and what is not in
// force shows in control's status. Asks the dataplane only where there is something to refuse.
std::expected<void, StartFailure> refuse_local_addresses(
    const ControlStart& start, const std::vector<config::LocalAddress>& here);

}  // namespace holdfast::control
