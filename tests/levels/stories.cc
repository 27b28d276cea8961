// SPDX-License-Identifier: Apache-2.0
// stories COUNT: tells COUNT random stories, the same ones everywhere, to the pure stages and the
// reference model, and prints "P packets, digest D". Builds for different processors must print the
// same. Ends with 1 when the product does not do what the model foretells.
#include "tests/support/model/digest.h"
#include "tests/support/model/story.h"

#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <iostream>

namespace {

using holdfast::testing::Telling;

constexpr std::size_t kCommands = 400;

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t stories = 0;
  if (argc != 2 ||
      std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), stories).ec != std::errc{}) {
    std::fputs("usage: stories COUNT\n", stderr);
    return 2;
  }
  holdfast::testing::Digest digest;
  std::uint64_t packets = 0;
  for (std::uint64_t seed = 1; seed <= stories; ++seed) {
    const Telling telling =
        holdfast::testing::tell(holdfast::testing::random_story(seed, kCommands));
    if (telling.difference) {
      std::cerr << "story " << seed << ": " << *telling.difference << '\n';
      return 1;
    }
    packets += telling.counts.received;
    digest.number(telling.digest);
  }
  std::printf("%" PRIu64 " packets, digest %016" PRIx64 "\n", packets, digest.value());
  return 0;
}
