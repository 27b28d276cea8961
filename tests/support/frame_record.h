// SPDX-License-Identifier: Apache-2.0
// Keeps what the packet tests send and what comes of it, for proofs that they did not write
// themselves. Nothing is kept unless the environment asks for it.
//
//   HOLDFAST_SEEDS=FOLDER   every frame, as inputs of the packet fuzzers: one file each, named by
//                           its hash, in FOLDER/FUZZER/ (tools/run_tests.py hands them on)
//   HOLDFAST_OUTPUTS=FILE   a pcap of each frame that something came of, followed by what came of
//                           it: the second is the pair's number, the microsecond 0 for what came in
//                           and 1 for what left. FILE.txt has a line per pair: number, verdict,
//                           mode, test (tests/end_to_end/test_packet_outputs.py reads both)
#pragma once

#include "tests/support/exact_burst.h"
#include "tests/support/fuzz_input.h"

#include <span>
#include <string_view>

namespace holdfast::testing {

// Of any burst that a test makes.
void record_frames(std::span<const Bytes> frames);

// `mode` is that of the flow's way, or empty where there is no flow.
void record_outcome(const Bytes& before,
                    const Bytes& after,
                    std::string_view verdict,
                    std::string_view mode);

// The frames of one machine in their order, with the time between them.
class SequenceRecord {
 public:
  SequenceRecord() = default;
  SequenceRecord(const SequenceRecord&) = delete;
  SequenceRecord& operator=(const SequenceRecord&) = delete;
  ~SequenceRecord();

  void send(std::span<const Bytes> frames);
  void pass(std::uint64_t milliseconds);

 private:
  ReplayInput input_;
};

}  // namespace holdfast::testing
