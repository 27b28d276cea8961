// SPDX-License-Identifier: Apache-2.0
// See flow_body.h.
#include "control/admin/flow_body.h"

#include "config/diagnostic.h"
#include "control/admin/json_keys.h"
#include "dataplane/registry.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

namespace holdfast::control {
namespace {

namespace json = boost::json;

constexpr std::uint32_t kMostRows = 10'000;
constexpr std::size_t kMostText = 128;
constexpr std::size_t kMostReason = 256;

using Fault = std::string;  // empty: none

// Digits alone, without a zero before them.
std::optional<std::uint32_t> number_in(std::string_view text, std::uint32_t most) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  const bool plain = !text.empty() && (text.size() == 1 || text.front() != '0');
  return whole && plain && value <= most ? std::optional(value) : std::nullopt;
}

Fault take_name(std::string_view text, const char* key, std::string& name) {
  if (text.size() >= dataplane::kLabelBytes || text.contains('/')) {
    return std::string("'") + key + "' is no name: " + config::quote(text);
  }
  name = text;
  return "";
}

Fault take_service(std::string_view text, FlowSelection& which) {
  if (!which.service.empty() && which.service != text) {
    return "'service' and the one in 'backend' are two";
  }
  return take_name(text, "service", which.service);
}

Fault take_backend(std::string_view text, FlowSelection& which) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return take_name(text, "backend", which.backend);
  }
  const std::string_view service = text.substr(0, slash);
  const std::string_view backend = text.substr(slash + 1);
  if (service.empty() || backend.empty()) {
    return "'backend' is BACKEND or SERVICE/BACKEND, not " + config::quote(text);
  }
  Fault fault = take_service(service, which);
  return fault.empty() ? take_name(backend, "backend", which.backend) : fault;
}

Fault take_source(std::string_view text, FlowSelection& which) {
  const std::size_t slash = text.find('/');
  const auto address = dataplane::Address::parse(text.substr(0, slash));
  if (!address) {
    return "'source' is an address or a prefix, not " + config::quote(text);
  }
  const std::uint32_t before = address->is_v4() ? dataplane::kMappedBits : 0U;
  std::uint32_t bits = dataplane::kWholeAddress;
  if (slash != std::string_view::npos) {
    const auto length = number_in(text.substr(slash + 1), dataplane::kWholeAddress - before);
    if (!length) {
      return "'source' has a length that is none: " + config::quote(text);
    }
    bits = before + *length;
  }
  if (dataplane::masked(*address, bits) != *address) {
    return "'source' has bits behind its prefix: that would be " +
           dataplane::prefix_text(dataplane::masked(*address, bits), bits);
  }
  which.filter.source = {.address = *address, .bits = static_cast<std::uint8_t>(bits)};
  return "";
}

Fault take_vip(std::string_view text, FlowSelection& which) {
  which.filter.vip = dataplane::Address::parse(text);
  return which.filter.vip ? "" : "'vip' is an address, not " + config::quote(text);
}

Fault take_port(std::string_view text, FlowSelection& which) {
  constexpr std::uint32_t kMost = 65'535;
  const std::size_t dash = text.find('-');
  const auto first = number_in(text.substr(0, dash), kMost);
  const auto last =
      dash == std::string_view::npos ? first : number_in(text.substr(dash + 1), kMost);
  if (!first || !last || *first == 0 || *first > *last) {
    return "'port' is a number from 1 to 65535, or FIRST-LAST, not " + config::quote(text);
  }
  which.filter.first_port = static_cast<std::uint16_t>(*first);
  which.filter.last_port = static_cast<std::uint16_t>(*last);
  return "";
}

Fault take_protocol(std::string_view text, FlowSelection& which) {
  if (text != "tcp" && text != "udp") {
    return "'protocol' is tcp or udp, not " + config::quote(text);
  }
  which.filter.protocol = text == "tcp" ? dataplane::Protocol::kTcp : dataplane::Protocol::kUdp;
  return "";
}

Fault take_state(std::string_view text, FlowSelection& which) {
  for (std::size_t i = 0; i < dataplane::kFlowStates; ++i) {
    if (dataplane::is_flow(static_cast<dataplane::FlowState>(i)) &&
        dataplane::kFlowStateNames.at(i) == text) {
      which.filter.states |= 1U << i;
      return "";
    }
  }
  return "'state' is one of " + flow_states_text() + ", not " + config::quote(text);
}

struct SelectionField {
  std::string_view key;
  Fault (*take)(std::string_view, FlowSelection&);
};
constexpr std::array<SelectionField, 7> kSelectionFields = {{
    {"service", take_service},
    {"backend", take_backend},
    {"source", take_source},
    {"vip", take_vip},
    {"port", take_port},
    {"protocol", take_protocol},
    {"state", take_state},
}};

const SelectionField* selection_field(std::string_view key) {
  const auto* const field = std::ranges::find(kSelectionFields, key, &SelectionField::key);
  return field == kSelectionFields.end() ? nullptr : field;
}

// Requires: `field` is of kSelectionFields. What is empty would mean any.
Fault select(const SelectionField& field, std::string_view text, FlowSelection& which) {
  const std::string key(field.key);
  if (text.empty()) {
    return "'" + key + "' is empty";
  }
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (text.size() > kMostText || std::ranges::any_of(text, control)) {
    return "'" + key + "' is too long, or has control characters";
  }
  which.text += (which.text.empty() ? "" : " ") + key + "=" + std::string(text);
  return field.take(text, which);
}

std::string known_keys(std::string_view more) {
  std::string keys;
  for (const SelectionField& field : kSelectionFields) {
    keys += "'" + std::string(field.key) + "', ";
  }
  return keys + std::string(more);
}

Fault unknown(std::string_view key, const std::string& known) {
  return "unknown key " + config::quote(key) + ": there are " + known;
}

// "%2F" as "/"; nullopt where that is no such number.
std::optional<std::string> decoded(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain += text[i];
      continue;
    }
    unsigned byte = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() != 2 || error != std::errc() || end != digits.data() + 2) {
      return std::nullopt;
    }
    plain += static_cast<char>(byte);
    i += 2;
  }
  return plain;
}

Fault take_option(std::string_view key, std::string_view value, FlowsQuery& query) {
  if (key == "limit") {
    const auto limit = number_in(value, kMostRows);
    query.limit = limit.value_or(0);
    return limit ? "" : "'limit' is a number up to " + std::to_string(kMostRows);
  }
  if (key == "count") {
    query.count = value == "true";
    return value == "true" || value == "false" ? "" : "'count' is true or false";
  }
  return unknown(key, known_keys("'limit', 'count'"));
}

Fault take_pair(std::string_view pair,
                FlowsQuery& query,
                std::set<std::string, std::less<>>& seen) {
  const std::size_t equals = pair.find('=');
  const auto key = decoded(pair.substr(0, equals));
  const auto value =
      equals == std::string_view::npos ? std::nullopt : decoded(pair.substr(equals + 1));
  if (!key || !value) {
    return "a query is KEY=VALUE, with & between them, not " + config::quote(pair);
  }
  if (!seen.insert(*key).second && *key != "state") {
    return "repeated key " + config::quote(*key);
  }
  const SelectionField* field = selection_field(*key);
  return field == nullptr ? take_option(*key, *value, query) : select(*field, *value, query.which);
}

// A number stands for itself, for ports.
std::optional<std::string> text_of(const json::value& value) {
  if (const json::string* text = value.if_string()) {
    return std::string(text->data(), text->size());
  }
  json::error_code error;
  const auto number = value.is_number() ? value.to_number<std::uint32_t>(error) : 0;
  return value.is_number() && !error ? std::optional(std::to_string(number)) : std::nullopt;
}

Fault take_selected(const SelectionField& field, const json::value& value, FlowSelection& which) {
  const json::array* list = value.if_array();
  if (list != nullptr && field.key == "state") {
    for (const json::value& one : *list) {
      Fault fault = take_selected(field, one, which);
      if (!fault.empty() || one.is_array()) {
        return fault.empty() ? "'state' is a list of lists" : fault;
      }
    }
    return list->empty() ? "'state' is empty" : "";
  }
  const auto text = text_of(value);
  return text ? select(field, *text, which) : "'" + std::string(field.key) + "' must be a string";
}

Fault take_flag(const json::value& value, std::string_view key, bool& flag) {
  flag = value.is_bool() && value.get_bool();
  return value.is_bool() ? "" : "'" + std::string(key) + "' must be true or false";
}

Fault take_reset(std::string_view key, const json::value& value, FlowsReset& request) {
  if (const SelectionField* field = selection_field(key)) {
    return take_selected(*field, value, request.which);
  }
  if (key == "all") {
    return take_flag(value, key, request.all);
  }
  if (key == "dry_run") {
    return take_flag(value, key, request.dry_run);
  }
  if (key == "reason") {
    return read_text(value, key, kMostReason, request.caller.reason);
  }
  return unknown(key, known_keys("'all', 'dry_run', 'reason'"));
}

// SERVICE/BACKEND, both of one service.
Fault take_end(const json::value& value,
               std::string_view key,
               std::string& service,
               std::string& backend) {
  std::string text;
  if (Fault fault = read_text(value, key, kMostText, text); !fault.empty()) {
    return fault;
  }
  const std::size_t slash = text.find('/');
  const std::string whose = text.substr(0, slash);
  backend = slash == std::string::npos ? "" : text.substr(slash + 1);
  if (whose.empty() || backend.empty() || backend.contains('/')) {
    return "'" + std::string(key) + "' is SERVICE/BACKEND, not " + config::quote(text);
  }
  if (!service.empty() && service != whose) {
    return "flows move within one service, not from one of " + config::quote(service) + " to " +
           config::quote(whose);
  }
  service = whose;
  return "";
}

Fault take_move(std::string_view key, const json::value& value, FlowsMove& request) {
  if (key == "from") {
    return take_end(value, key, request.service, request.from);
  }
  if (key == "to") {
    return take_end(value, key, request.service, request.to);
  }
  if (key == "dry_run") {
    return take_flag(value, key, request.dry_run);
  }
  if (key == "force") {
    return take_flag(value, key, request.force);
  }
  if (key == "reason") {
    return read_text(value, key, kMostReason, request.caller.reason);
  }
  return unknown(key, "'from', 'to', 'dry_run', 'force', 'reason'");
}

template <typename Request>
std::expected<Request, std::string> read_with(
    Fault (*take)(std::string_view, const json::value&, Request&), const std::string& body) {
  const auto object = parse_body(body);
  if (!object) {
    return std::unexpected(object.error());
  }
  Request request;
  for (const json::key_value_pair& one : *object) {
    const std::string_view key(one.key().data(), one.key().size());
    if (Fault fault = take(key, one.value(), request); !fault.empty()) {
      return std::unexpected(std::move(fault));
    }
  }
  return request;
}

}  // namespace

std::string flow_states_text() {
  std::string names;
  for (std::size_t i = 0; i < dataplane::kFlowStates; ++i) {
    if (dataplane::is_flow(static_cast<dataplane::FlowState>(i))) {
      names += (names.empty() ? "" : ", ") + std::string(dataplane::kFlowStateNames.at(i));
    }
  }
  return names;
}

std::expected<FlowsQuery, std::string> read_flows_query(std::string_view target) {
  FlowsQuery query;
  const std::size_t mark = target.find('?');
  std::string_view left = mark == std::string_view::npos ? "" : target.substr(mark + 1);
  std::set<std::string, std::less<>> seen;
  while (!left.empty()) {
    const std::size_t end = std::min(left.find('&'), left.size());
    if (Fault fault = take_pair(left.substr(0, end), query, seen); !fault.empty()) {
      return std::unexpected(std::move(fault));
    }
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return query;
}

std::expected<FlowsReset, std::string> read_flows_reset(const std::string& body) {
  auto request = read_with<FlowsReset>(take_reset, body);
  if (request && request->all && !request->which.text.empty()) {
    return std::unexpected("'all' is for a reset without a filter");
  }
  return request;
}

std::expected<FlowsMove, std::string> read_flows_move(const std::string& body) {
  auto request = read_with<FlowsMove>(take_move, body);
  if (request && (request->from.empty() || request->to.empty())) {
    return std::unexpected("'from' and 'to' are backends: SERVICE/BACKEND");
  }
  if (request && request->from == request->to) {
    return std::unexpected("'from' and 'to' are one backend");
  }
  return request;
}

}  // namespace holdfast::control
