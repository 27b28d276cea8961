// SPDX-License-Identifier: Apache-2.0
// See verb_body.h.
#include "control/admin/verb_body.h"

#include "config/diagnostic.h"
#include "control/admin/json_keys.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>
#include <utility>

#include <boost/json/object.hpp>

namespace holdfast::control {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxObjects = 10'000;
constexpr std::size_t kMaxObjectBytes = 512;
constexpr std::size_t kMaxReasonBytes = 256;
constexpr std::size_t kMaxPathBytes = 4'096;
constexpr std::int64_t kLeastConfirmMs = 1'000;
constexpr std::int64_t kYearMs = 365LL * 24 * 3'600'000;
constexpr std::uint32_t kMaxWeight = 65'535;

using Fault = std::string;  // empty: none

Fault take_object(const json::value& value, AdminRequest& request) {
  std::string object;
  Fault fault = read_text(value, "object", kMaxObjectBytes, object);
  if (fault.empty() && object.empty()) {
    fault = "an object is empty";
  }
  request.objects.push_back(std::move(object));
  return fault;
}

Fault take_objects(const json::value& value, AdminRequest& request) {
  const json::array* list = value.if_array();
  if (list == nullptr || list->size() > kMaxObjects) {
    return "'objects' must be a list of at most " + std::to_string(kMaxObjects) + " strings";
  }
  for (const json::value& one : *list) {
    if (Fault fault = take_object(one, request); !fault.empty()) {
      return fault;
    }
  }
  return "";
}

Fault take_reason(const json::value& value, AdminRequest& request) {
  return read_text(value, "reason", kMaxReasonBytes, request.caller.reason);
}

// Milliseconds from `least` to a year.
std::expected<std::chrono::milliseconds, Fault> read_ms(const json::value& value,
                                                        std::string_view key,
                                                        std::int64_t least) {
  json::error_code error;
  const auto number = value.is_number() ? value.to_number<std::int64_t>(error) : -1;
  if (error || number < least || number > kYearMs) {
    return std::unexpected("'" + std::string(key) + "' must be milliseconds, " +
                           std::to_string(least) + " to those of a year");
  }
  return std::chrono::milliseconds(number);
}

Fault take_deadline(const json::value& value, AdminRequest& request) {
  const auto deadline = read_ms(value, "deadline_ms", 0);
  request.deadline = deadline.value_or(std::chrono::milliseconds(0));
  return deadline ? "" : deadline.error();
}

Fault take_ttl(const json::value& value, AdminRequest& request) {
  const auto ttl = read_ms(value, "ttl_ms", 1);
  request.ttl = ttl.value_or(std::chrono::milliseconds(0));
  return ttl ? "" : ttl.error();
}

Fault take_then(const json::value& value, AdminRequest& request) {
  constexpr std::array<std::pair<std::string_view, config::DrainEnd>, 3> kEnds = {{
      {"reset", config::DrainEnd::kReset},
      {"keep", config::DrainEnd::kKeep},
      {"remove", config::DrainEnd::kRemove},
  }};
  const json::string* text = value.if_string();
  for (const auto& [name, end] : kEnds) {
    if (text != nullptr && *text == name) {
      request.then = end;
      return "";
    }
  }
  return "'then' must be \"reset\", \"keep\" or \"remove\"";
}

Fault take_weight(const json::value& value, AdminRequest& request) {
  json::error_code error;
  const auto weight = value.is_number() ? value.to_number<std::uint32_t>(error) : kMaxWeight + 1;
  if (!value.is_null() && (error || weight > kMaxWeight)) {
    return "'weight' must be a number from 0 to " + std::to_string(kMaxWeight) + ", or null";
  }
  request.weight = value.is_null() ? std::nullopt : std::optional(weight);
  return "";
}

template <bool AdminRequest::* Flag>
Fault take_flag(const json::value& value, AdminRequest& request) {
  request.*Flag = value.is_bool() && value.get_bool();
  return value.is_bool() ? "" : "'dry_run' and 'force' must be true or false";
}

constexpr unsigned bit(AdminVerb verb) { return 1U << std::to_underlying(verb); }
constexpr unsigned kEveryVerb = bit(AdminVerb::kCount) - 1;
constexpr unsigned kDrains = bit(AdminVerb::kDrain) | bit(AdminVerb::kMigrate);
constexpr unsigned kLasting =
    bit(AdminVerb::kDrain) | bit(AdminVerb::kMaintenance) | bit(AdminVerb::kWeight);

struct BodyField {
  std::string_view key;
  unsigned verbs;  // that have it
  Fault (*take)(const json::value&, AdminRequest&);
};
constexpr std::array<BodyField, 9> kFields = {{
    {"object", kEveryVerb, take_object},
    {"objects", kEveryVerb, take_objects},
    {"reason", kEveryVerb, take_reason},
    {"deadline_ms", kDrains, take_deadline},
    {"then", kDrains, take_then},
    {"weight", bit(AdminVerb::kWeight), take_weight},
    {"ttl_ms", kLasting, take_ttl},
    {"dry_run", kEveryVerb, take_flag<&AdminRequest::dry_run>},
    {"force", kEveryVerb, take_flag<&AdminRequest::force>},
}};

Fault take_revision(const json::value& value, ConfigBody& body) {
  json::error_code error;
  const auto number = value.is_number() ? value.to_number<std::uint64_t>(error) : 0;
  if (!value.is_null() && (error || number == 0)) {
    return "'revision' must be a number from 1 on, or null";
  }
  body.revision = value.is_null() ? std::nullopt : std::optional(number);
  return "";
}

Fault take_path(const json::value& value, ConfigBody& body) {
  Fault fault = read_text(value, "path", kMaxPathBytes, body.path);
  if (fault.empty() && !body.path.starts_with('/')) {
    fault = "'path' must be absolute";
  }
  return fault;
}

Fault take_confirm(const json::value& value, ConfigBody& body) {
  const auto confirm = read_ms(value, "confirm_ms", kLeastConfirmMs);
  body.confirm = confirm.value_or(std::chrono::milliseconds(0));
  return confirm ? "" : confirm.error();
}

Fault take_why(const json::value& value, ConfigBody& body) {
  return read_text(value, "reason", kMaxReasonBytes, body.reason);
}

Fault take_force(const json::value& value, ConfigBody& body) {
  body.force = value.is_bool() && value.get_bool();
  return value.is_bool() ? "" : "'force' must be true or false";
}

constexpr unsigned bit(ConfigVerb verb) { return 1U << std::to_underlying(verb); }
constexpr unsigned kOfAFile = bit(ConfigVerb::kPlan) | bit(ConfigVerb::kApply);
constexpr unsigned kOfARevision = bit(ConfigVerb::kRollback) | bit(ConfigVerb::kConfirm);
constexpr unsigned kForced = bit(ConfigVerb::kRollback) | bit(ConfigVerb::kApply);
constexpr unsigned kExplained = ~bit(ConfigVerb::kPlan);

struct ConfigField {
  std::string_view key;
  unsigned verbs;  // that have it
  Fault (*take)(const json::value&, ConfigBody&);
};
constexpr std::array<ConfigField, 5> kConfigFields = {{
    {"path", kOfAFile, take_path},
    {"revision", kOfARevision, take_revision},
    {"confirm_ms", bit(ConfigVerb::kApply), take_confirm},
    {"reason", kExplained, take_why},
    {"force", kForced, take_force},
}};

template <typename Fields>
std::string known_keys(const Fields& fields, unsigned verb) {
  std::string keys;
  for (const auto& field : fields) {
    if ((field.verbs & verb) != 0) {
      keys += (keys.empty() ? "'" : ", '") + std::string(field.key) + "'";
    }
  }
  return keys;
}

// Every key that is given, by the row of `fields` that the verb has for it.
template <typename Fields, typename Request>
Fault take_fields(const json::object& given,
                  const Fields& fields,
                  unsigned verb,
                  Request& request) {
  for (const json::key_value_pair& one : given) {
    const std::string_view key(one.key().data(), one.key().size());
    const auto* const field =
        std::ranges::find(fields, key, [](const auto& known) { return known.key; });
    if (field == fields.end() || (field->verbs & verb) == 0) {
      return "unknown key " + config::quote(key) + ": there are " + known_keys(fields, verb);
    }
    if (Fault fault = field->take(one.value(), request); !fault.empty()) {
      return fault;
    }
  }
  return "";
}

}  // namespace

std::expected<AdminRequest, std::string> read_change(AdminVerb verb, const std::string& body) {
  const auto object = parse_body(body);
  if (!object) {
    return std::unexpected(object.error());
  }
  AdminRequest request;
  request.verb = verb;
  if (Fault fault = take_fields(*object, kFields, bit(verb), request); !fault.empty()) {
    return std::unexpected(std::move(fault));
  }
  if (request.objects.empty()) {
    return std::unexpected(
        "'objects' is missing: SERVICE/BACKEND, BACKEND, host:ADDRESS, tier:SERVICE/N or node");
  }
  if (verb == AdminVerb::kWeight && !object->contains("weight")) {
    return std::unexpected("'weight' is missing: a number, or null for the file's");
  }
  return request;
}

std::expected<ConfigBody, std::string> read_config_body(ConfigVerb verb, const std::string& body) {
  ConfigBody read;
  const bool needs_path = (bit(verb) & kOfAFile) != 0;
  if (body.empty() && !needs_path) {
    return read;
  }
  const auto object = parse_body(body);
  if (!object) {
    return std::unexpected(object.error());
  }
  if (Fault fault = take_fields(*object, kConfigFields, bit(verb), read); !fault.empty()) {
    return std::unexpected(std::move(fault));
  }
  if (needs_path && read.path.empty()) {
    return std::unexpected("'path' is missing: of the file, absolute");
  }
  return read;
}

}  // namespace holdfast::control
