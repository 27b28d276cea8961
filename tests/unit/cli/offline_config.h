// SPDX-License-Identifier: Apache-2.0
// A small configuration on disk and the verbs run on it, for the tests of `trace` and `replay`.
#pragma once

#include "control/cli/program.h"
#include "tests/support/temp_directory.h"

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace holdfast::testing {

struct VerbRun {
  int code = 0;
  std::string out;
  std::string error;
};

class OfflineConfig {
 public:
  OfflineConfig() { write(kText); }

  void write(const std::string& text) const {
    std::ofstream(path()) << "version: 1\ndataplane: {directory: " << file("none") << "}\n" << text;
  }
  [[nodiscard]] std::string path() const { return folder_.file("holdfast.yaml"); }
  [[nodiscard]] std::string file(const std::string& name) const { return folder_.file(name); }

  // `words` behind "VERB --config PATH".
  [[nodiscard]] VerbRun run(const std::string& verb, std::vector<std::string> words) const {
    words.insert(words.begin(), {verb, "--config", path()});
    std::ostringstream out;
    std::ostringstream error;
    control::Context context{.out = out, .error = error, .program = "holdfast"};
    const int code = control::run_program(words, context);
    return {.code = code, .out = out.str(), .error = error.str()};
  }

  // `web` translates, `direct` does not; addresses are those of tests/support/packet.h.
  static constexpr const char* kText = R"(
ports:
  wan0: {device: 'null'}
  lan0: {device: 'null'}
nat: {pool: [10.0.3.16-10.0.3.31]}
services:
  - name: web
    vips: [203.0.113.10]
    ports: [tcp/80, udp/53]
    mode: nat
    check: none
    balance: {slots: 4093}
    backends:
      - {name: a, address: 10.0.3.11, port: 8080}
      - {name: b, address: 10.0.3.12, port: 8080}
      - {name: spare, address: 10.0.3.13, port: 8080, tier: 1}
      - {name: 'off', address: 10.0.3.14, port: 8080, weight: 0}
  - name: direct
    vips: [203.0.113.11, '2001:db8:0:2::a']
    ports: [tcp/80]
    mode: dsr
    check: none
    balance: {slots: 4093, hash: source}
    backends:
      - {name: a, address: 10.0.3.11}
      - {name: a6, address: '2001:db8:0:3::b'}
)";

 private:
  TempDirectory folder_;
};

}  // namespace holdfast::testing
