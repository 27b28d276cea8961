// SPDX-License-Identifier: Apache-2.0
// See node_order.h.
#include "control/engine/node_order.h"

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace holdfast::control {

namespace json = boost::json;

namespace {

std::optional<std::string> text_in(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  const json::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::nullopt : std::optional(std::string(text->data(), text->size()));
}

}  // namespace

std::string node_order_text(const std::optional<OrderStamp>& drained) {
  if (!drained) {
    return "";
  }
  const json::object object = {{"drained_since_unix_ms", drained->since_unix_ms},
                               {"who", drained->who},
                               {"reason", drained->reason}};
  return json::serialize(object) + "\n";
}

std::expected<std::optional<OrderStamp>, std::string> read_node_order(std::string_view text) {
  if (text.empty()) {
    return std::nullopt;
  }
  json::error_code error;
  const json::value value = json::parse(text, error);
  const json::object* object = error ? nullptr : value.if_object();
  const json::value* since =
      object == nullptr ? nullptr : object->if_contains("drained_since_unix_ms");
  if (since == nullptr || !since->is_int64()) {
    return std::unexpected("is no order for the node");
  }
  const auto who = text_in(*object, "who");
  const auto reason = text_in(*object, "reason");
  if (!who || !reason) {
    return std::unexpected("is no order for the node");
  }
  return OrderStamp{.since_unix_ms = since->get_int64(),
                    .ttl = std::chrono::milliseconds(0),
                    .who = *who,
                    .reason = *reason};
}

}  // namespace holdfast::control
