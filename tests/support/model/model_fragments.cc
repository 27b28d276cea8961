// SPDX-License-Identifier: Apache-2.0
// Fragments in a burst: what their datagram makes of them, and those that come again.
#include "tests/support/model/model_burst.h"

namespace holdfast::testing {
namespace {

constexpr std::size_t kBurst = 32;

// The fragment as a packet of its flow.
void heed(Reading& packet, const Said& said) {
  if (said.fault) {
    packet.shape = Shape::kFaulty;
    packet.fault = *said.fault;
    return;
  }
  packet.shape = Shape::kTransport;
  packet.source_port = said.source_port;
  packet.destination_port = said.destination_port;
  packet.protocol = said.protocol;
  packet.flags = said.flags;
}

}  // namespace

void BurstRun::classify_fragment(Travelling& t) {
  if (!m_.is_ours(t.packet.destination)) {
    return t.to_kernel();
  }
  if (is_foreign(t)) {
    return t.drop(Drop::kVlanUnknown);
  }
  if (to_group(t)) {
    return t.drop(Drop::kNotOurMac);
  }
  ++m_.counts_.fragments;
  const Datagrams::Fate fate = m_.datagrams_.take(*t.frame, t.packet, now_ms_);
  if (fate.drop) {
    return t.drop(*fate.drop);
  }
  if (!fate.said) {
    t.fate.verdict = Verdict::kHold;
    t.fate.bytes = t.frame->bytes;
    return;
  }
  heed(t.packet, *fate.said);
  classify_transport(t);
}

std::vector<Foretold> BurstRun::run(const std::vector<Again>& burst) {
  std::vector<Travelling> all(burst.size());
  for (std::size_t i = 0; i < burst.size(); ++i) {
    all[i].frame = &burst[i].frame;
    all[i].slot = i;
    all[i].released = true;
    all[i].packet = read_frame(burst[i].frame);
    heed(all[i].packet, burst[i].said);
  }
  return run(all);
}

std::vector<Foretold> Model::run_released(std::uint64_t now_ms,
                                          const Witness& witness,
                                          const EntryWitness& entry_stands,
                                          const MemoryWitness& memory_stands,
                                          const TranslationWitness& translation_stands) {
  const std::vector<Again> burst = datagrams_.released(kBurst);
  return burst.empty()
             ? std::vector<Foretold>{}
             : BurstRun(*this, now_ms, witness, entry_stands, memory_stands, translation_stands)
                   .run(burst);
}

}  // namespace holdfast::testing
