// SPDX-License-Identifier: Apache-2.0
// See json_keys.h. The handler's names are Boost's; all but those of keys and objects pass.
#include "control/admin/json_keys.h"

#include "config/diagnostic.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>

namespace holdfast::control {
namespace {

namespace json = boost::json;

struct Keys {
  using Text = json::string_view;
  using Error = json::error_code;
  static constexpr auto kUnlimited = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_object_size = kUnlimited;
  static constexpr std::size_t max_array_size = kUnlimited;
  static constexpr std::size_t max_key_size = kUnlimited;
  static constexpr std::size_t max_string_size = kUnlimited;

  bool on_key_part(Text part, std::size_t /*size*/, Error& /*error*/) {
    key.append(part.data(), part.size());
    return true;
  }
  bool on_key(Text last, std::size_t /*size*/, Error& error) {
    key.append(last.data(), last.size());
    std::string whole = std::exchange(key, {});
    if (objects != 1 || seen.insert(whole).second) {
      return true;
    }
    repeated = std::move(whole);
    error = json::error::syntax;  // nothing more is to be read
    return false;
  }
  bool on_object_begin(Error& /*error*/) { return ++objects != 0; }
  bool on_object_end(std::size_t /*size*/, Error& /*error*/) {
    --objects;
    return true;
  }

  bool on_document_begin(Error& /*error*/) { return true; }
  bool on_document_end(Error& /*error*/) { return true; }
  bool on_array_begin(Error& /*error*/) { return true; }
  bool on_array_end(std::size_t /*size*/, Error& /*error*/) { return true; }
  bool on_string_part(Text /*part*/, std::size_t /*size*/, Error& /*error*/) { return true; }
  bool on_string(Text /*last*/, std::size_t /*size*/, Error& /*error*/) { return true; }
  bool on_number_part(Text /*part*/, Error& /*error*/) { return true; }
  bool on_int64(std::int64_t /*value*/, Text /*text*/, Error& /*error*/) { return true; }
  bool on_uint64(std::uint64_t /*value*/, Text /*text*/, Error& /*error*/) { return true; }
  bool on_double(double /*value*/, Text /*text*/, Error& /*error*/) { return true; }
  bool on_bool(bool /*value*/, Error& /*error*/) { return true; }
  bool on_null(Error& /*error*/) { return true; }
  bool on_comment_part(Text /*part*/, Error& /*error*/) { return true; }
  bool on_comment(Text /*last*/, Error& /*error*/) { return true; }

  std::string key;          // what there is of it
  std::size_t objects = 0;  // that are open
  std::set<std::string> seen;
  std::optional<std::string> repeated;
};

}  // namespace

std::optional<std::string> repeated_key(std::string_view text) {
  json::basic_parser<Keys> parser{json::parse_options()};
  json::error_code error;
  parser.write_some(false, text.data(), text.size(), error);
  return std::move(parser.handler().repeated);
}

std::string read_text(const json::value& value,
                      std::string_view key,
                      std::size_t limit,
                      std::string& text) {
  const json::string* string = value.if_string();
  if (string == nullptr || string->size() > limit) {
    return "'" + std::string(key) + "' must be a string of at most " + std::to_string(limit) +
           " bytes";
  }
  if (std::ranges::any_of(*string, [](char c) { return static_cast<unsigned char>(c) < 0x20; })) {
    return "'" + std::string(key) + "' must hold no control characters";
  }
  text.assign(string->data(), string->size());
  return "";
}

std::expected<json::object, std::string> parse_body(const std::string& body) {
  json::error_code error;
  const json::value value = json::parse(body, error);
  const json::object* object = error ? nullptr : value.if_object();
  if (object == nullptr) {
    return std::unexpected("the body must be a JSON object");
  }
  if (const auto key = repeated_key(body)) {
    return std::unexpected("repeated key " + config::quote(*key));
  }
  return *object;
}

}  // namespace holdfast::control
