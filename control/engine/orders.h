// SPDX-License-Identifier: Apache-2.0
// What operators ordered of members beside the file: drains, maintenances, weights, slots. The
// engine writes each change of them to a journal before the verb answers; a start reads it, so they
// survive a restart and a reboot. Pure text here, the engine does the I/O.
//
//   state SERVICE BACKEND draining|maintenance SINCE TTL DEADLINE reset|keep|remove WHO REASON
//   weight SERVICE BACKEND WEIGHT SINCE TTL WHO REASON
//   slots SERVICE BACKEND KEY FROM SINCE WHO REASON
//   no-state SERVICE BACKEND            what stood before is over
//   no-weight SERVICE BACKEND
//   no-slots SERVICE BACKEND
//   done                                what stands above, since the last one, was one verb
//
// Times are Unix milliseconds and milliseconds; TTL 0: until it is undone. Names and words may hold
// any byte (%xx). What no `done` follows was never answered, and is not read.
#pragma once

#include "config/model.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace holdfast::control {

// (service, backend).
using MemberName = std::pair<std::string, std::string>;

std::string label(const MemberName& name);  // "web/a"

// What every order has. Times go by the wall clock, so that they mean the same after a reboot.
struct OrderStamp {
  std::int64_t since_unix_ms = 0;
  std::chrono::milliseconds ttl{0};  // it ends by itself after this; 0: it does not
  std::string who;
  std::string reason;
  bool operator==(const OrderStamp&) const = default;
};

struct StateOrder {
  bool maintenance = false;  // else a drain
  OrderStamp stamp;
  config::Drain drain;  // how it ends; of a drain only
  bool operator==(const StateOrder& other) const;
};

struct WeightOrder {
  std::uint32_t weight = 0;
  OrderStamp stamp;
  bool operator==(const WeightOrder&) const = default;
};

// A migration: the member has the slots of another one.
struct SlotsOrder {
  std::string key;   // what Maglev permutes it by instead of its name
  std::string from;  // the backend that they were taken from
  OrderStamp stamp;
  bool operator==(const SlotsOrder&) const = default;
};

struct MemberOrders {
  std::optional<StateOrder> state;
  std::optional<WeightOrder> weight;
  std::optional<SlotsOrder> slots;
  [[nodiscard]] bool empty() const { return !state && !weight && !slots; }
  bool operator==(const MemberOrders&) const = default;
};

using Orders = std::map<MemberName, MemberOrders>;

// The lines that turn what stood into what stands for one member; empty when nothing changed.
std::string journal_lines(const MemberName& name,
                          const MemberOrders& before,
                          const MemberOrders& after);
// The line that ends a verb.
inline constexpr std::string_view kJournalDone = "done\n";
// A journal that says all of `orders` and nothing else.
std::string journal_of(const Orders& orders);

struct OrdersRead {
  Orders orders;
  std::size_t lines = 0;
  std::vector<std::string> refused;  // "line 7: is no order", at most kRefusalsKept
  std::size_t refusals = 0;
};
inline constexpr std::size_t kRefusalsKept = 10;

// What a journal says; lines that cannot be read are refused and the others stand.
OrdersRead read_journal(std::string_view text);

}  // namespace holdfast::control
