// SPDX-License-Identifier: Apache-2.0
// See json_keys.h. The handler's names are Boost's; all but those of keys and objects pass.
#include "control/admin/json_keys.h"

#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>

#include <boost/json/basic_parser_impl.hpp>

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

}  // namespace holdfast::control
