// SPDX-License-Identifier: Apache-2.0
// The smallest valid configuration with one service, whose sockets and directories all stand in the
// test's own directory.
#pragma once

#include "tests/support/temp_directory.h"

#include <string>

namespace holdfast::testing {

inline std::string site_config(const TempDirectory& directory, const std::string& service) {
  return "version: 1\ndataplane: {flows: 64k, socket: " + directory.file("dataplane.sock") +
         ", directory: " + directory.file("dataplane") +
         "}\nports:\n  p: {device: 'null'}\nservices:\n  - name: " + service +
         "\n    vips: [203.0.113.10]\n    ports: [tcp/80]\n    mode: dsr\n    check: none\n"
         "    backends:\n      - {name: a, address: 10.0.3.11}\n"
         "control: {socket: " +
         directory.file("control.sock") + ", directory: " + directory.file("control") +
         ", metrics: none}\n";
}

}  // namespace holdfast::testing
