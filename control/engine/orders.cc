// SPDX-License-Identifier: Apache-2.0
// See orders.h.
#include "control/engine/orders.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace holdfast::control {
namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t kMostWeight = 65'535;
constexpr std::array<std::pair<config::DrainEnd, std::string_view>, 3> kEnds = {{
    {config::DrainEnd::kReset, "reset"},
    {config::DrainEnd::kKeep, "keep"},
    {config::DrainEnd::kRemove, "remove"},
}};

std::string escaped(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto value = static_cast<unsigned char>(c);
    if (value <= 0x20 || value >= 0x7f || c == '%') {
      out += {'%', kDigits[value >> 4U], kDigits[value & 0xfU]};
    } else {
      out += c;
    }
  }
  return out;
}

std::optional<std::string> unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) {
      return std::nullopt;
    }
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

std::string line_of(std::initializer_list<std::string_view> words) {
  std::string line;
  for (const std::string_view word : words) {
    line += (line.empty() ? "" : " ") + escaped(word);
  }
  return line + '\n';
}

std::string number(std::int64_t value) { return std::to_string(value); }

std::string state_line(const MemberName& name, const StateOrder& order) {
  const auto* const end =
      std::ranges::find(kEnds, order.drain.then, &decltype(kEnds)::value_type::first);
  return line_of({"state",
                  name.first,
                  name.second,
                  order.maintenance ? "maintenance" : "draining",
                  number(order.stamp.since_unix_ms),
                  number(order.stamp.ttl.count()),
                  number(order.drain.deadline.count()),
                  end->second,
                  order.stamp.who,
                  order.stamp.reason});
}

std::string weight_line(const MemberName& name, const WeightOrder& order) {
  return line_of({"weight",
                  name.first,
                  name.second,
                  number(order.weight),
                  number(order.stamp.since_unix_ms),
                  number(order.stamp.ttl.count()),
                  order.stamp.who,
                  order.stamp.reason});
}

std::string slots_line(const MemberName& name, const SlotsOrder& order) {
  return line_of({"slots",
                  name.first,
                  name.second,
                  order.key,
                  order.from,
                  number(order.stamp.since_unix_ms),
                  order.stamp.who,
                  order.stamp.reason});
}

using Words = std::vector<std::string>;

std::optional<Words> words_of(std::string_view line) {
  Words words;
  while (true) {
    const std::size_t blank = std::min(line.find(' '), line.size());
    auto word = unescaped(line.substr(0, blank));
    if (!word) {
      return std::nullopt;
    }
    words.push_back(std::move(*word));
    if (blank == line.size()) {
      return words;
    }
    line.remove_prefix(blank + 1);
  }
}

// Reads numbers and remembers whether one was none.
class Numbers {
 public:
  std::int64_t read(const std::string& text, std::int64_t least, std::int64_t most) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    good_ = good_ && error == std::errc() && end == text.data() + text.size() && value >= least &&
            value <= most;
    return value;
  }
  [[nodiscard]] bool good() const { return good_; }

 private:
  bool good_ = true;
};

constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();
// Longer ones would overflow a clock; the longest that a verb takes is a year.
constexpr std::int64_t kMostMs = 10LL * 366 * 24 * 3'600'000;

std::optional<StateOrder> state_of(const Words& words) {
  const auto* const end = std::ranges::find(kEnds, words[7], &decltype(kEnds)::value_type::second);
  if ((words[3] != "draining" && words[3] != "maintenance") || end == kEnds.end()) {
    return std::nullopt;
  }
  Numbers numbers;
  StateOrder order{
      .maintenance = words[3] == "maintenance",
      .stamp = {.since_unix_ms = numbers.read(words[4], -kAny, kAny),
                .ttl = milliseconds(numbers.read(words[5], 0, kMostMs)),
                .who = words[8],
                .reason = words[9]},
      .drain = {.deadline = milliseconds(numbers.read(words[6], 0, kMostMs)), .then = end->first}};
  return numbers.good() ? std::optional(std::move(order)) : std::nullopt;
}

std::optional<WeightOrder> weight_of(const Words& words) {
  Numbers numbers;
  WeightOrder order{.weight = static_cast<std::uint32_t>(numbers.read(words[3], 0, kMostWeight)),
                    .stamp = {.since_unix_ms = numbers.read(words[4], -kAny, kAny),
                              .ttl = milliseconds(numbers.read(words[5], 0, kMostMs)),
                              .who = words[6],
                              .reason = words[7]}};
  return numbers.good() ? std::optional(std::move(order)) : std::nullopt;
}

std::optional<SlotsOrder> slots_of(const Words& words) {
  Numbers numbers;
  SlotsOrder order{.key = words[3],
                   .from = words[4],
                   .stamp = {.since_unix_ms = numbers.read(words[5], -kAny, kAny),
                             .ttl = milliseconds(0),
                             .who = words[6],
                             .reason = words[7]}};
  return numbers.good() && !order.key.empty() ? std::optional(std::move(order)) : std::nullopt;
}

// One line as a change of `orders`; false when it is none.
bool take_line(const Words& words, Orders& orders) {
  const std::string& kind = words[0];
  if (kind == "state" && words.size() == 10) {
    if (auto order = state_of(words)) {
      orders[{words[1], words[2]}].state = std::move(*order);
      return true;
    }
  } else if (kind == "weight" && words.size() == 8) {
    if (auto order = weight_of(words)) {
      orders[{words[1], words[2]}].weight = std::move(*order);
      return true;
    }
  } else if (kind == "slots" && words.size() == 8) {
    if (auto order = slots_of(words)) {
      orders[{words[1], words[2]}].slots = std::move(*order);
      return true;
    }
  } else if (kind == "no-slots" && words.size() == 3) {
    orders[{words[1], words[2]}].slots.reset();
    return true;
  } else if (kind == "no-state" && words.size() == 3) {
    orders[{words[1], words[2]}].state.reset();
    return true;
  } else if (kind == "no-weight" && words.size() == 3) {
    orders[{words[1], words[2]}].weight.reset();
    return true;
  }
  return false;
}

void refuse(OrdersRead& read, std::size_t line, std::string_view why) {
  if (++read.refusals <= kRefusalsKept) {
    read.refused.push_back("line " + std::to_string(line) + ": " + std::string(why));
  }
}

}  // namespace

std::string label(const MemberName& name) { return name.first + "/" + name.second; }

bool StateOrder::operator==(const StateOrder& other) const {
  return maintenance == other.maintenance && stamp == other.stamp &&
         drain.deadline == other.drain.deadline && drain.then == other.drain.then;
}

std::string journal_lines(const MemberName& name,
                          const MemberOrders& before,
                          const MemberOrders& after) {
  std::string lines;
  if (before.state != after.state) {
    lines += after.state ? state_line(name, *after.state)
                         : line_of({"no-state", name.first, name.second});
  }
  if (before.weight != after.weight) {
    lines += after.weight ? weight_line(name, *after.weight)
                          : line_of({"no-weight", name.first, name.second});
  }
  if (before.slots != after.slots) {
    lines += after.slots ? slots_line(name, *after.slots)
                         : line_of({"no-slots", name.first, name.second});
  }
  return lines;
}

std::string journal_of(const Orders& orders) {
  std::string text;
  for (const auto& [name, order] : orders) {
    text += journal_lines(name, {}, order);
  }
  return text.empty() ? text : text + std::string(kJournalDone);
}

OrdersRead read_journal(std::string_view text) {
  OrdersRead read;
  Orders pending;  // with the lines since the last `done`
  std::size_t first_pending = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const bool whole = end < text.size();
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++read.lines;
    if (line.empty()) {
      continue;
    }
    if (line == kJournalDone.substr(0, kJournalDone.size() - 1) && whole) {
      read.orders = pending;
      first_pending = 0;
      continue;
    }
    const auto words = words_of(line);
    if (!words || !take_line(*words, pending)) {
      refuse(read, read.lines, "is no order");
    } else if (first_pending == 0) {
      first_pending = read.lines;
    }
  }
  if (first_pending != 0) {
    refuse(read, first_pending, "begins a change that was not finished");
  }
  std::erase_if(read.orders, [](const auto& one) { return one.second.empty(); });
  return read;
}

}  // namespace holdfast::control
