// SPDX-License-Identifier: Apache-2.0
// An address that the machine has whose configuration this is to be. Found by `holdfast check`,
// compared by the rules; this folder asks no kernel.
#pragma once

#include "config/model.h"

#include <string>

namespace holdfast::config {

struct LocalAddress {
  IpAddress address;
  std::string interface;
};

}  // namespace holdfast::config
