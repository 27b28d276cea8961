// SPDX-License-Identifier: Apache-2.0
// The verb `version`.
#include "control/cli/options.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"

#include <memory>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace holdfast::control {

void add_version(CLI::App& app, Context& context) {
  auto format = std::make_shared<Format>(Format::kTable);
  Verb verb(app, "version", "Print the version");
  add_format(verb, *format);
  verb.runs([format, &context] {
    if (*format == Format::kJson) {
      context.out << boost::json::serialize(boost::json::object{{"version", HOLDFAST_VERSION}})
                  << '\n';
    } else {
      context.out << "holdfast " << HOLDFAST_VERSION << '\n';
    }
  });
}

}  // namespace holdfast::control
