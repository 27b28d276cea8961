// SPDX-License-Identifier: Apache-2.0
// Strict readers of single values. YAML's own typing is never used: it reads `010` as 8, `yes` as
// true and `1_000` as a number.
#include "config/scalar.h"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <utility>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::size_t kLongestName = 63;
constexpr std::uint64_t kSaturated = std::numeric_limits<std::uint64_t>::max();

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(
      result, result.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return result;
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, text) != words.end();
}

// Numbers of YAML 1.1 and 1.2 in any base: a digit after sign and dot, then only what numbers use.
bool looks_like_number(std::string_view text) {
  const std::string low = lower(text);
  std::string_view rest = low;
  if (rest.starts_with('+') || rest.starts_with('-')) {
    rest.remove_prefix(1);
  }
  if (is_one_of(rest, {".inf", ".nan"})) {
    return true;
  }
  if (rest.starts_with("0x")) {
    return rest.size() > 2 && rest.find_first_not_of("0123456789abcdef_", 2) == std::string::npos;
  }
  if (rest.starts_with("0o") || rest.starts_with("0b")) {
    return rest.size() > 2 && rest.find_first_not_of("01234567_", 2) == std::string::npos;
  }
  const std::string_view from = rest.starts_with('.') ? rest.substr(1) : rest;
  const bool one_dot = std::ranges::count(rest, '.') <= 1;
  return !from.empty() && is_digit(from.front()) && one_dot &&
         rest.find_first_not_of("0123456789._e+-") == std::string_view::npos &&
         std::ranges::count(rest, '-') + std::ranges::count(rest, '+') <=
             std::ranges::count(rest, 'e') &&
         std::ranges::count(rest, 'e') <= 1 && (is_digit(rest.back()) || rest.back() == '.');
}

Complaint number_complaint(std::string_view text) {
  if (text.starts_with('-')) {
    return {fmt::format("{} is negative", quote(text)), ""};
  }
  if (looks_like(text) == Looks::kNumber) {
    return {fmt::format("{} is not written as a plain decimal number", quote(text)),
            "write digits only"};
  }
  return {fmt::format("{} is no number", quote(text)), ""};
}

}  // namespace

Looks looks_like(std::string_view plain) {
  const std::string low = lower(plain.substr(0, 64));
  if (is_one_of(low, {"", "~", "null"})) {
    return Looks::kNull;
  }
  if (is_one_of(low, {"true", "false", "yes", "no", "on", "off"})) {
    return Looks::kBoolean;
  }
  return looks_like_number(plain) ? Looks::kNumber : Looks::kText;
}

std::string_view looks_name(std::string_view plain) {
  switch (looks_like(plain)) {
    case Looks::kNumber:
      return "a number";
    case Looks::kBoolean:
      return "a boolean";
    case Looks::kNull:
      return "empty";
    case Looks::kText:
      break;
  }
  return "a text";
}

bool is_nothing(const Node& node) {
  return node.kind == Kind::kNull ||
         (node.kind == Kind::kScalar && !node.quoted && looks_like(node.text) == Looks::kNull);
}

Complaint wrong_kind(const Node& node, std::string_view wanted) {
  const bool typed = node.kind == Kind::kScalar && !node.quoted;
  return {
      fmt::format("must be {}, not {}", wanted, typed ? looks_name(node.text) : kind_name(node)),
      ""};
}

Read<std::string_view> scalar_text(const Node& node, std::string_view wanted) {
  if (node.kind != Kind::kScalar) {
    return std::unexpected(wrong_kind(node, wanted));
  }
  return std::string_view(node.text);
}

std::string_view leading_digits(std::string_view text) {
  return text.substr(0, std::min(text.find_first_not_of("0123456789"), text.size()));
}

Complaint out_of_range(std::string_view text, std::string_view least, std::string_view most) {
  return {fmt::format("{} is out of range {}..{}", text, least, most), ""};
}

Read<std::string> read_text(const Node& node) {
  const Read<std::string_view> text = scalar_text(node, "a text");
  if (!text) {
    return std::unexpected(text.error());
  }
  if (!node.quoted && looks_like(*text) != Looks::kText) {
    Complaint complaint = wrong_kind(node, "a text");
    complaint.help = fmt::format("write \"{}\" if it is one", *text);
    return std::unexpected(std::move(complaint));
  }
  if (text->empty()) {
    return std::unexpected(Complaint{"is empty", ""});
  }
  return std::string(*text);
}

Read<bool> read_boolean(const Node& node) {
  const Read<std::string_view> text = scalar_text(node, "true or false");
  if (!text) {
    return std::unexpected(text.error());
  }
  if (node.quoted) {
    return std::unexpected(
        Complaint{"must be true or false, not a quoted text", "remove the quotes"});
  }
  if (*text == "true" || *text == "false") {
    return *text == "true";
  }
  const std::string low = lower(*text);
  std::string help;
  if (is_one_of(low, {"yes", "on", "true", "1"})) {
    help = "write true";
  } else if (is_one_of(low, {"no", "off", "false", "0"})) {
    help = "write false";
  }
  return std::unexpected(Complaint{fmt::format("{} is not true or false", quote(*text)), help});
}

Read<std::uint64_t> parse_decimal(std::string_view digits) {
  if (digits.empty() || leading_digits(digits).size() != digits.size()) {
    return std::unexpected(number_complaint(digits));
  }
  if (digits.size() > 1 && digits.front() == '0') {
    return std::unexpected(Complaint{fmt::format("{} has a leading zero", quote(digits)),
                                     "numbers are decimal: write it without"});
  }
  std::uint64_t value = 0;
  for (const char c : digits) {
    const auto digit = static_cast<std::uint64_t>(c - '0');
    if (value > (kSaturated - digit) / 10) {
      return kSaturated;
    }
    value = value * 10 + digit;
  }
  return value;
}

Read<std::uint64_t> read_integer(const Node& node, IntegerRange range) {
  const Read<std::string_view> text = scalar_text(node, "a number");
  if (!text) {
    return std::unexpected(text.error());
  }
  if (node.quoted) {
    return std::unexpected(Complaint{"must be a number, not a quoted text", "remove the quotes"});
  }
  const Read<std::uint64_t> value = parse_decimal(*text);
  if (value && (*value < range.least || *value > range.most)) {
    return std::unexpected(
        out_of_range(*text, fmt::to_string(range.least), fmt::to_string(range.most)));
  }
  return value;
}

Read<std::string> read_name(const Node& node) {
  Read<std::string> text = read_text(node);
  if (!text) {
    return text;
  }
  const bool starts_well = is_letter(text->front()) || is_digit(text->front());
  const auto fits = [](char c) {
    return is_letter(c) || is_digit(c) || c == '.' || c == '_' || c == '-';
  };
  if (!starts_well || !std::ranges::all_of(*text, fits)) {
    return std::unexpected(Complaint{
        fmt::format("{} is no name: use letters, digits, '.', '_' and '-', a letter or digit "
                    "first",
                    quote(*text)),
        ""});
  }
  if (text->size() > kLongestName) {
    return std::unexpected(
        Complaint{fmt::format("{} is longer than {} characters", quote(*text), kLongestName), ""});
  }
  return text;
}

Read<std::string> read_printable(const Node& node) {
  Read<std::string> text = read_text(node);
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  if (text && std::ranges::any_of(*text, is_control)) {
    return std::unexpected(
        Complaint{fmt::format("{} has a control character in it", quote(*text)), ""});
  }
  return text;
}

Read<std::string> read_path(const Node& node, std::size_t longest) {
  Read<std::string> text = read_printable(node);
  if (!text) {
    return text;
  }
  if (!text->starts_with('/')) {
    return std::unexpected(
        Complaint{fmt::format("{} must be an absolute path", quote(*text)), "start it with '/'"});
  }
  if (text->size() > longest) {
    return std::unexpected(
        Complaint{fmt::format("{} is longer than {} bytes", quote(*text), longest), ""});
  }
  return text;
}

}  // namespace holdfast::config
