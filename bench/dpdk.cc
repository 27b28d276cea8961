// SPDX-License-Identifier: Apache-2.0
// See dpdk.h.
#include "bench/dpdk.h"

#include <rte_eal.h>

namespace holdfast::dataplane::bench {

bool start_dpdk(std::uint32_t mebibytes, const std::vector<std::string>& more) {
  std::vector<std::string> words = {"bench",
                                    "--no-huge",
                                    "--no-shconf",
                                    "--no-pci",
                                    "--no-telemetry",
                                    "--log-level=1",
                                    "-m",
                                    std::to_string(mebibytes),
                                    "--lcores=0@0-1"};
  words.insert(words.end(), more.begin(), more.end());
  std::vector<char*> pointers;
  for (std::string& word : words) {
    pointers.push_back(word.data());
  }
  return rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) >= 0;
}

}  // namespace holdfast::dataplane::bench
