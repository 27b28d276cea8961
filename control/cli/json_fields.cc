// SPDX-License-Identifier: Apache-2.0
#include "control/cli/json_fields.h"

#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace holdfast::control {
namespace {

namespace json = boost::json;

const json::array& list_field(const json::object& object, std::string_view key) {
  static const json::array none;
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_array() ? value->get_array() : none;
}

}  // namespace

std::string text_field(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) {
    return "-";
  }
  if (const json::string* text = value->if_string()) {
    return text->empty() ? "-" : std::string(text->data(), text->size());
  }
  return json::serialize(*value);
}

double number_field(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  json::error_code error;
  const double number = value == nullptr ? 0 : value->to_number<double>(error);
  return error ? 0 : number;
}

std::uint64_t count_field(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  json::error_code error;
  const auto count = value == nullptr ? 0 : value->to_number<std::uint64_t>(error);
  return error ? 0 : count;
}

bool flag_field(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_bool() && value->get_bool();
}

const json::object& object_field(const json::object& object, std::string_view key) {
  static const json::object none;
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_object() ? value->get_object() : none;
}

std::vector<json::object> objects_field(const json::object& object, std::string_view key) {
  std::vector<json::object> objects;
  for (const json::value& value : list_field(object, key)) {
    if (const json::object* element = value.if_object()) {
      objects.push_back(*element);
    }
  }
  return objects;
}

std::vector<std::string> texts_field(const json::object& object, std::string_view key) {
  std::vector<std::string> texts;
  for (const json::value& value : list_field(object, key)) {
    if (const json::string* text = value.if_string()) {
      texts.emplace_back(text->data(), text->size());
    }
  }
  return texts;
}

}  // namespace holdfast::control
