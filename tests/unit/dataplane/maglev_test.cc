// SPDX-License-Identifier: Apache-2.0
#include "dataplane/maglev.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::dataplane {
namespace {

const FlowHasher kMaglevHasher({7, 7, 7});

struct Pool {
  std::vector<std::string> names;
  std::vector<MaglevMember> members;

  explicit Pool(std::size_t count, std::uint32_t weight = 100) {
    for (std::size_t i = 0; i < count; ++i) {
      names.push_back("backend-" + std::to_string(i));
    }
    for (std::size_t i = 0; i < count; ++i) {
      members.push_back(
          {.key = names[i], .weight = weight, .index = static_cast<std::uint16_t>(i)});
    }
  }
};

std::map<std::uint16_t, std::uint32_t> shares(const std::vector<std::uint16_t>& table) {
  std::map<std::uint16_t, std::uint32_t> share;
  for (const std::uint16_t member : table) {
    ++share[member];
  }
  return share;
}

TEST(Maglev, EqualWeightsDifferByAtMostOneSlot) {
  for (const std::size_t count : {1UZ, 2UZ, 3UZ, 10UZ, 100UZ, 1000UZ}) {
    const auto share = shares(build_maglev(Pool(count).members, 65537, kMaglevHasher));
    ASSERT_EQ(share.size(), count);
    const auto [least, most] =
        std::ranges::minmax_element(share, {}, [](const auto& entry) { return entry.second; });
    EXPECT_LE(most->second - least->second, 1U) << count;
  }
}

TEST(Maglev, SharesFollowTheWeights) {
  Pool pool(4);
  const std::array<std::uint32_t, 4> weights = {1, 50, 100, 200};
  for (std::size_t i = 0; i < 4; ++i) {
    pool.members[i].weight = weights[i];
  }
  const auto share = shares(build_maglev(pool.members, 65537, kMaglevHasher));
  for (std::uint16_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(share.at(i), 65537.0 * weights[i] / 351, 2.0) << i;
  }
}

TEST(Maglev, AWeightOfZeroGetsNoSlot) {
  Pool pool(3);
  pool.members[1].weight = 0;
  EXPECT_FALSE(shares(build_maglev(pool.members, 4093, kMaglevHasher)).contains(1));
  for (MaglevMember& member : pool.members) {
    member.weight = 0;
  }
  EXPECT_TRUE(build_maglev(pool.members, 4093, kMaglevHasher).empty());
}

TEST(Maglev, TheOrderOfMembersDoesNotMatter) {
  Pool pool(50);
  pool.members[3].weight = 37;
  const auto table = build_maglev(pool.members, 4093, kMaglevHasher);
  std::ranges::reverse(pool.members);
  EXPECT_EQ(build_maglev(pool.members, 4093, kMaglevHasher), table);
}

TEST(Maglev, RemovingAMemberMovesLittleElse) {
  const Pool pool(100);
  const auto before = build_maglev(pool.members, 65537, kMaglevHasher);
  auto fewer = pool.members;
  fewer.erase(fewer.begin() + 42);
  const TableChange change = compare_tables(before, build_maglev(fewer, 65537, kMaglevHasher));
  EXPECT_NEAR(change.least, 655, 2);                    // its share
  EXPECT_LT(change.moved - change.least, 65537 / 100);  // under 1 % of the slots
}

TEST(Maglev, AnotherSecretMakesAnotherTable) {
  const Pool pool(10);
  const FlowHasher other({9});
  const auto a = build_maglev(pool.members, 4093, kMaglevHasher);
  const auto b = build_maglev(pool.members, 4093, other);
  EXPECT_GT(compare_tables(a, b).moved, 3000U);
}

// The definition in maglev.h, step by step. Requires: members in the order of their keys.
std::vector<std::uint16_t> by_the_book(const Pool& pool, std::uint32_t slots) {
  const auto hash = [&](std::string_view key, std::uint64_t domain) {
    std::uint64_t state = kMaglevHasher.words(domain, key.size());
    for (std::size_t at = 0; at < key.size(); at += 8) {
      std::uint64_t chunk = 0;
      std::memcpy(&chunk, key.data() + at, std::min<std::size_t>(8, key.size() - at));
      state = kMaglevHasher.words(state, chunk);
    }
    return state;
  };
  std::vector<std::uint64_t> turns(pool.members.size());
  std::vector<std::uint64_t> positions;
  for (const MaglevMember& member : pool.members) {
    positions.push_back(hash(member.key, 1) % slots);
  }
  std::vector<std::uint16_t> table(slots, 0xffff);
  for (std::uint32_t filled = 0; filled < slots; ++filled) {
    std::size_t next = 0;
    for (std::size_t i = 1; i < pool.members.size(); ++i) {
      if ((turns[i] + 1) * pool.members[next].weight < (turns[next] + 1) * pool.members[i].weight) {
        next = i;
      }
    }
    ++turns[next];
    const std::uint64_t skip = hash(pool.members[next].key, 2) % (slots - 1) + 1;
    while (table[positions[next]] != 0xffff) {
      positions[next] = (positions[next] + skip) % slots;
    }
    table[positions[next]] = pool.members[next].index;
  }
  return table;
}

TEST(Maglev, TablesAreThoseOfTheDefinition) {
  std::mt19937 random(7);
  for (const std::uint32_t slots : {23U, 251U, 257U, 521U, 2039U, 16381U, 65537U}) {
    for (const std::uint32_t most : {1U, 2U, 100U, 65'535U, 4'294'967'295U}) {
      Pool pool(std::min<std::size_t>(9, slots - 1));  // names of one digit: in order
      for (MaglevMember& member : pool.members) {
        member.weight = 1 + static_cast<std::uint32_t>(random() % most);
      }
      EXPECT_EQ(build_maglev(pool.members, slots, kMaglevHasher), by_the_book(pool, slots))
          << slots << " slots, weights up to " << most;
    }
  }
}

TEST(Maglev, TablesOfManyMembersAreThoseOfTheDefinition) {
  for (const std::size_t count : {300UZ, 1000UZ}) {
    Pool pool(count);
    std::ranges::sort(pool.members, {}, &MaglevMember::key);
    EXPECT_EQ(build_maglev(pool.members, 16381, kMaglevHasher), by_the_book(pool, 16381)) << count;
    for (MaglevMember& member : pool.members) {
      member.weight = 1U + member.index % 7U;
    }
    EXPECT_EQ(build_maglev(pool.members, 16381, kMaglevHasher), by_the_book(pool, 16381)) << count;
  }
}

TEST(Maglev, SlotsCoverTheWholeTable) {
  EXPECT_EQ(maglev_slot(0, 65537), 0U);
  EXPECT_EQ(maglev_slot(~std::uint64_t{0}, 65537), 65536U);
}

}  // namespace
}  // namespace holdfast::dataplane
