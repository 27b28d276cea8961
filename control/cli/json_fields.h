// SPDX-License-Identifier: Apache-2.0
// Reads fields of the API's answers without trusting that they are there. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

namespace holdfast::control {

// The field as text; "-" when it is missing, null or empty.
std::string text_field(const boost::json::object& object, std::string_view key);
// The field as a number; 0 when it is missing or none.
double number_field(const boost::json::object& object, std::string_view key);
std::uint64_t count_field(const boost::json::object& object, std::string_view key);
bool flag_field(const boost::json::object& object, std::string_view key);
// The field; empty when it is missing or of another kind.
const boost::json::object& object_field(const boost::json::object& object, std::string_view key);
// The objects, or the texts, of a list; what is neither is left out.
std::vector<boost::json::object> objects_field(const boost::json::object& object,
                                               std::string_view key);
std::vector<std::string> texts_field(const boost::json::object& object, std::string_view key);

}  // namespace holdfast::control
