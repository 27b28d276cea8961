// SPDX-License-Identifier: Apache-2.0
// The verb `check`: reads configurations as control would, and prints every mistake with its place.
// A VIP or pool address that an interface of this machine has is one of them. Needs no daemon and
// no rights beyond reading the files.
#include "config/diagnostic.h"
#include "config/load.h"
#include "control/cli/local_addresses.h"
#include "control/cli/options.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace holdfast::control {
namespace {

namespace json = boost::json;

constexpr const char* kHelp =
    "A VIP or an address of the nat pool that an interface of this machine has is a mistake as\n"
    "well: the kernel would answer for it too. What other machines have is not looked at.";

struct CheckOptions {
  Format format = Format::kTable;
  std::vector<std::string> files;
};

struct Checked {
  std::string file;
  bool ok = false;
  std::size_t services = 0;
  std::size_t backends = 0;
  std::vector<config::Diagnostic> diagnostics;
};

std::vector<config::LocalAddress> find_local_addresses(Context& context) {
  auto found = load_local_addresses();
  if (!found) {
    context.error << "holdfast: note: " << unread_addresses_text(found.error()) << '\n';
    return {};
  }
  return std::move(*found);
}

Checked check_file(const std::string& file, const config::LoadOptions& options) {
  auto loaded = config::load_config(file, options);
  if (!loaded) {
    return {file, false, 0, 0, std::move(loaded.error())};
  }
  Checked checked{file, true, loaded->services.size(), 0, std::move(loaded->warnings)};
  for (const config::Service& service : loaded->services) {
    checked.backends += service.backends.size();
  }
  return checked;
}

json::object to_json(const Checked& checked) {
  json::array diagnostics;
  for (const config::Diagnostic& one : checked.diagnostics) {
    diagnostics.push_back(
        json::object{{"severity", one.severity == config::Severity::kError ? "error" : "warning"},
                     {"file", one.place.file},
                     {"line", one.place.line},
                     {"column", one.place.column},
                     {"message", one.message},
                     {"help", one.help}});
  }
  return {{"file", checked.file},
          {"ok", checked.ok},
          {"services", checked.services},
          {"backends", checked.backends},
          {"diagnostics", std::move(diagnostics)}};
}

std::string plural(std::size_t count, const std::string& noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

void print(const Checked& checked, Context& context) {
  context.error << config::render(checked.diagnostics);
  if (checked.ok) {
    context.out << checked.file << ": ok (" << plural(checked.services, "service") << ", "
                << plural(checked.backends, "backend") << ")\n";
  }
}

void check(const CheckOptions& options, Context& context) {
  const config::LoadOptions here = {.local_addresses = find_local_addresses(context)};
  json::array results;
  for (const std::string& file : options.files) {
    const Checked checked = check_file(file, here);
    if (!checked.ok) {
      context.exit_code = kExitInvalidConfiguration;
    }
    if (options.format == Format::kJson) {
      results.push_back(to_json(checked));
    } else {
      print(checked, context);
    }
  }
  if (options.format == Format::kJson) {
    context.out << json::serialize(results) << '\n';
  }
}

}  // namespace

void add_check(CLI::App& app, Context& context) {
  auto options = std::make_shared<CheckOptions>();
  Verb verb(app, "check", "Read configurations and print every mistake with its place");
  verb.required({"FILE", "", "configurations to check"}, options->files);
  add_format(verb, options->format);
  verb.footer(kHelp).runs([options, &context] { check(*options, context); });
}

}  // namespace holdfast::control
