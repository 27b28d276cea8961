// SPDX-License-Identifier: Apache-2.0
// Numbers with a unit: counts, sizes and durations, one table of units each.
#include "config/scalar.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::uint64_t kLargest = std::numeric_limits<std::uint64_t>::max();

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

struct Form {
  std::string_view wanted;    // "a duration, as '250ms' or '5s'"
  std::string_view examples;  // "'250ms', '5s', '1m' or '1h'"
  std::string_view units;     // "ms, s, m or h"
  std::array<std::string_view, 2> usual;
  std::span<const Unit> table;
  std::string (*text)(std::uint64_t);
};

constexpr std::array kCountUnits = {Unit{"k", 1000}, Unit{"M", 1'000'000}};
constexpr std::array kSizeUnits = {Unit{"KiB", std::uint64_t{1} << 10U},
                                   Unit{"MiB", std::uint64_t{1} << 20U},
                                   Unit{"GiB", std::uint64_t{1} << 30U},
                                   Unit{"TiB", std::uint64_t{1} << 40U}};
constexpr std::array kDurationUnits = {
    Unit{"ms", 1}, Unit{"s", 1000}, Unit{"m", 60'000}, Unit{"h", 3'600'000}};

// In the largest unit that is exact.
std::string in_units(std::uint64_t value, std::span<const Unit> units, std::string_view base) {
  const Unit* best = nullptr;
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.factor == 0) {
      best = &unit;
    }
  }
  return best == nullptr ? fmt::format("{}{}", value, base)
                         : fmt::format("{}{}", value / best->factor, best->name);
}

std::string count_text(std::uint64_t value) { return in_units(value, kCountUnits, ""); }
std::string milliseconds_text(std::uint64_t value) { return in_units(value, kDurationUnits, "ms"); }

constexpr Form kCount{
    "a number, as '64k' or '1M'", "'64k' or '1M'", "k or M", {"k", "M"}, kCountUnits, count_text};
constexpr Form kSize{"a size, as '512MiB'",
                     "'512MiB' or '2GiB'",
                     "KiB, MiB, GiB or TiB",
                     {"MiB", "GiB"},
                     kSizeUnits,
                     size_text};
constexpr Form kDuration{"a duration, as '250ms' or '5s'",
                         "'250ms', '5s', '1m' or '1h'",
                         "ms, s, m or h",
                         {"s", "ms"},
                         kDurationUnits,
                         milliseconds_text};

std::unexpected<Complaint> complain(std::string message) {
  return std::unexpected(Complaint{std::move(message), ""});
}

Read<std::uint64_t> read_amount(const Node& node, const Form& form, IntegerRange range) {
  const Read<std::string_view> text = scalar_text(node, form.wanted);
  if (!text) {
    return std::unexpected(text.error());
  }
  const std::string_view digits = leading_digits(*text);
  const std::string_view unit = text->substr(digits.size());
  if (digits.empty() || (!unit.empty() && unit.find_first_of("._ ") != std::string_view::npos)) {
    return complain(fmt::format(
        "{} is not a whole number with a unit: write it as {}", quote(*text), form.examples));
  }
  const Read<std::uint64_t> number = parse_decimal(digits);
  if (!number) {
    return number;
  }
  if (unit.empty()) {
    return complain(fmt::format("{} has no unit: write '{}{}' or '{}{}'",
                                quote(*text),
                                digits,
                                form.usual[0],
                                digits,
                                form.usual[1]));
  }
  const auto known = std::ranges::find(form.table, unit, &Unit::name);
  if (known == form.table.end()) {
    return complain(
        fmt::format("{} has an unknown unit {}: use {}", quote(*text), quote(unit), form.units));
  }
  const std::uint64_t value =
      *number > kLargest / known->factor ? kLargest : *number * known->factor;
  if (value < range.least || value > range.most) {
    return std::unexpected(
        out_of_range(quote(*text), form.text(range.least), form.text(range.most)));
  }
  return value;
}

}  // namespace

Read<std::uint64_t> read_count(const Node& node, IntegerRange range) {
  const bool plain =
      node.kind == Kind::kScalar && !node.text.empty() && looks_like(node.text) == Looks::kNumber;
  return plain ? read_integer(node, range) : read_amount(node, kCount, range);
}

Read<std::uint64_t> read_size(const Node& node, IntegerRange range) {
  return read_amount(node, kSize, range);
}

Read<std::chrono::milliseconds> read_duration(const Node& node, DurationRange range) {
  const Read<std::uint64_t> value = read_amount(node,
                                                kDuration,
                                                {static_cast<std::uint64_t>(range.least.count()),
                                                 static_cast<std::uint64_t>(range.most.count())});
  if (!value) {
    return std::unexpected(value.error());
  }
  return std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(*value));
}

std::string duration_text(std::chrono::milliseconds duration) {
  return milliseconds_text(static_cast<std::uint64_t>(duration.count()));
}

std::string size_text(std::uint64_t bytes) { return in_units(bytes, kSizeUnits, " bytes"); }

}  // namespace holdfast::config
