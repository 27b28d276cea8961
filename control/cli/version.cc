// SPDX-License-Identifier: Apache-2.0
// The verb `version`.
#include "control/cli/options.h"
#include "control/cli/program.h"

#include <memory>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace holdfast::control {

void add_version(CLI::App& app, Context& context) {
  auto format = std::make_shared<Format>(Format::kTable);
  CLI::App* verb = app.add_subcommand("version", "Print the version");
  add_format(*verb, *format);
  verb->callback([format, &context] {
    if (*format == Format::kJson) {
      context.out << boost::json::serialize(boost::json::object{{"version", HOLDFAST_VERSION}})
                  << '\n';
    } else {
      context.out << "holdfast " << HOLDFAST_VERSION << '\n';
    }
  });
}

}  // namespace holdfast::control
