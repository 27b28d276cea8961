// SPDX-License-Identifier: Apache-2.0
// What a verb answered, {"outcome", "lines"}, and how it is printed: its lines, the JSON, and the
// outcome as the exit code.
#pragma once

#include "control/admin/operator.h"
#include "control/cli/options.h"

#include <string>

#include <boost/json/object.hpp>

namespace holdfast::control {

struct Context;

Outcome outcome_in(const boost::json::object& answer);
// Replaces the outcome and adds a line.
void add_outcome(boost::json::object& answer, Outcome outcome, const std::string& line);
// Lines go to the output when the verb did its work, else to the error stream.
void print_answer(const boost::json::object& answer, Format format, Context& context);

}  // namespace holdfast::control
