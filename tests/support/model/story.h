// SPDX-License-Identifier: Apache-2.0
// A story: what happens to a balancer, from its start on. tell() puts model and product through it
// and compares them after every command. Stories are plain values: rapidcheck makes, shortens and
// prints them. Tests only.
#pragma once

#include "tests/support/model/site.h"
#include "tests/support/model/traffic.h"

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

namespace holdfast::testing {

enum class Happening : std::uint8_t {
  kBurst,
  kWait,      // value: milliseconds
  kStall,     // the same; in tiny tables the sweeper does not come by
  kDispose,   // a disposition at run time: service, member, value
  kPublish,   // part, service, member, value
  kSurround,  // value: variant
  kRestart,
};

struct Command {
  Happening what = Happening::kBurst;
  std::vector<FrameOp> frames;
  Part part = Part::kNothing;
  std::uint8_t service = 0;
  std::uint8_t member = 0;
  std::uint32_t value = 0;
};

struct Story {
  bool small_tables = false;     // half-open flows reach their share, translations the last record
  bool tiny_tables = false;      // a pair of buckets for the entries of a family; frames come alone
  std::uint16_t modes = 0;       // digit i in base 6: the mode that service i begins in
  std::uint16_t affinities = 0;  // digit i in base 4: likewise its affinity
  // 1: a member per family has nearly all slots; 2: a tier of its own; 3: hop lists in
  // `gue`, and services that hash by other fields
  std::uint8_t shape = 0;
  std::uint8_t vlans = 0;  // tags of the ports, see site_surroundings()
  std::uint8_t key = 0;    // of the hash: which flows and members meet
  std::vector<Command> commands;
};

// A random one of about `commands` commands; the same for the same seed.
Story random_story(std::uint64_t seed, std::size_t commands);

// How a story went.
struct Telling {
  std::optional<std::string> difference;  // the first one, in sentences
  Counts counts;                          // over all lives
  bool crowded = false;      // left early: two buckets were full, which is not modelled
  std::uint64_t digest = 0;  // of what became of each frame, see digest.h
};
Telling tell(const Story& story);

std::ostream& operator<<(std::ostream& out, const Command& command);
std::ostream& operator<<(std::ostream& out, const Story& story);

}  // namespace holdfast::testing
