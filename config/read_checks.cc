// SPDX-License-Identifier: Apache-2.0
// Reads checks: the default one, the templates under `checks` and those inside a service.
#include "config/ip.h"
#include "config/sections.h"

#include <algorithm>
#include <array>
#include <chrono>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

using std::chrono::milliseconds;
using namespace std::chrono_literals;

constexpr std::size_t kLongestUri = 1024;
constexpr std::size_t kLongestHost = 253;
constexpr std::uint64_t kMostInARow = 100;

constexpr std::array kCheckTypes = {Word{"tcp", CheckType::kTcp}, Word{"http", CheckType::kHttp}};
constexpr std::array<std::string_view, 8> kLaterCheckTypes = {
    "https", "tls", "udp", "dns", "icmp", "grpc", "redis", "postgres"};
constexpr std::array kMethods = {Word<std::string_view>{"GET", "GET"},
                                 Word<std::string_view>{"HEAD", "HEAD"},
                                 Word<std::string_view>{"OPTIONS", "OPTIONS"}};
constexpr std::array<Key, 4> kHttpKeys = {"path", "host", "method", "expect"};

// What goes into a request line or header: nothing that could end it.
Read<std::string> read_visible(const Node& node, std::size_t longest) {
  Read<std::string> text = read_text(node);
  if (!text) {
    return text;
  }
  const auto unfit = [](unsigned char c) { return c <= ' ' || c >= 0x7f; };
  if (std::ranges::any_of(*text, unfit)) {
    return std::unexpected(
        Complaint{fmt::format("{} has a character that HTTP does not allow there", quote(*text)),
                  "visible ASCII only; write others as %XX"});
  }
  if (text->size() > longest) {
    return std::unexpected(
        Complaint{fmt::format("{} is longer than {} bytes", quote(*text), longest), ""});
  }
  return text;
}

Read<std::string> read_uri(const Node& node) {
  Read<std::string> text = read_visible(node, kLongestUri);
  if (text && (!text->starts_with('/') || text->find('#') != std::string::npos)) {
    return std::unexpected(
        Complaint{fmt::format("{} is no path of a URL", quote(*text)), "as '/healthz'"});
  }
  return text;
}

Read<std::string> read_host(const Node& node) {
  Read<std::string> text = read_visible(node, kLongestHost);
  if (text && text->find_first_of("/@?#\\\"'<>") != std::string::npos) {
    return std::unexpected(
        Complaint{fmt::format("{} is no name of a host", quote(*text)), "as 'www.example.org'"});
  }
  return text;
}

Read<StatusRange> read_status(const Node& node) {
  const Read<std::string_view> text = scalar_text(node, "a status or a range, as '200-299'");
  if (!text) {
    return std::unexpected(text.error());
  }
  const std::size_t dash = text->find('-');
  const Read<std::uint64_t> first = parse_decimal(text->substr(0, dash));
  const Read<std::uint64_t> last =
      dash == std::string_view::npos ? first : parse_decimal(text->substr(dash + 1));
  const bool fits = first && last && *first >= 100 && *last <= 599 && *first <= *last;
  if (!fits) {
    return std::unexpected(Complaint{
        fmt::format("{} is no HTTP status: write 200 or 200-299, within 100..599", quote(*text)),
        ""});
  }
  return StatusRange{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
}

void read_expect(const Fields& fields, Check& check) {
  const Node* node = fields.find("expect");
  if (node == nullptr) {
    return;
  }
  const Fields expect(*node, "'expect'", kExpectKeys, fields.journal());
  expect.require("status");
  std::vector<StatusRange> ranges;
  const bool complete = expect.each("status", [&](const Node& item) {
    if (const Read<StatusRange> range = read_status(item); range) {
      ranges.push_back(*range);
    } else {
      expect.report(item, "status", range.error());
    }
  });
  const Node* list = expect.find("status");
  if (complete && list != nullptr && ranges.empty()) {
    fields.journal().error(list->where, "'status' is empty: no answer would be good");
  }
  if (!ranges.empty()) {
    check.status = std::move(ranges);
  }
}

void read_http_keys(const Fields& fields, Check& check) {
  std::string_view method = check.method;
  fields.set("path", check.path, read_uri);
  fields.set("host", check.host, read_host);
  if (fields.set("method", method, word(kMethods)) != nullptr) {
    check.method = method;
  }
  read_expect(fields, check);
}

// A probe that outlives the interval would overlap with the next one.
void check_timeout(const Fields& fields, const Check& check) {
  const bool timeout_set = fields.has("timeout");
  const bool interval_set = fields.has("interval");
  if (check.timeout <= check.interval || (!timeout_set && !interval_set)) {
    return;
  }
  const std::string_view inherited = " (the default)";
  fields.journal().error(fields.where(timeout_set ? "timeout" : "interval"),
                         fmt::format("timeout {}{} is longer than interval {}{}",
                                     duration_text(check.timeout),
                                     timeout_set ? "" : inherited,
                                     duration_text(check.interval),
                                     interval_set ? "" : inherited),
                         timeout_set && interval_set ? "" : "set both");
}

}  // namespace

Check read_check(const Node& node, const Check& base, std::string name, Journal& journal) {
  Check check = base;
  check.name = std::move(name);
  const std::string what = check.name.empty() ? "a check" : "check " + quote(check.name);
  const Fields fields(node, what, kCheckKeys, journal);
  const bool type_known =
      fields.set_if_there("type", check.type, word(kCheckTypes, kLaterCheckTypes));
  const bool interval_known = fields.set_if_there("interval", check.interval, duration(10ms, 1h));
  const bool timeout_known = fields.set_if_there("timeout", check.timeout, duration(1ms, 1h));
  fields.set("fall", check.fall, integer(1, kMostInARow));
  fields.set("rise", check.rise, integer(1, kMostInARow));
  fields.set("port", check.port, integer(1, 65535));
  if (check.type == CheckType::kHttp || !type_known) {
    read_http_keys(fields, check);
  } else {
    fields.refuse(kHttpKeys, "to a check of type 'tcp'");
  }
  if (interval_known && timeout_known) {
    check_timeout(fields, check);
  }
  return check;
}

void read_templates(const Node& node,
                    const Check& base,
                    CheckTemplates& templates,
                    Journal& journal) {
  if (node.kind != Kind::kMap) {
    journal.error(node.where, "'checks' " + wrong_kind(node, "a map (name: {type: ...})").message);
    return;
  }
  for (std::size_t i = 0; i < node.keys.size(); ++i) {
    const Node& key = node.keys[i];
    if (const Read<std::string> name = read_name(key); !name) {
      journal.error(key.where, "check name " + name.error().message, name.error().help);
    } else if (key.text == "none") {
      journal.error(key.where, "a check cannot be called 'none': that turns checks off");
    }
    CheckTemplate next{read_check(node.items[i], base, key.text, journal), key.where};
    const auto [first, is_new] = templates.emplace(key.text, std::move(next));
    if (!is_new) {
      journal.error(key.where,
                    fmt::format("repeated check {} (first at {})",
                                quote(key.text),
                                journal.place(first->second.where).text()));
    }
  }
}

}  // namespace holdfast::config
