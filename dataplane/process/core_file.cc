// SPDX-License-Identifier: Apache-2.0
// See core_file.h.
#include "dataplane/process/core_file.h"

#include <fstream>

#include <sys/prctl.h>
#include <sys/resource.h>

namespace holdfast::dataplane {
namespace {

// core(5): private memory that no file stands behind (bit 0), and the headers of programs (bit 4).
constexpr const char* kWhat = "0x11";

}  // namespace

void ask_for_core() {
  ::prctl(PR_SET_DUMPABLE, 1L);  // first: until then what is in /proc/self is root's
  rlimit limit{};
  if (::getrlimit(RLIMIT_CORE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_CORE, &limit);
  }
  std::ofstream("/proc/self/coredump_filter") << kWhat;
}

}  // namespace holdfast::dataplane
