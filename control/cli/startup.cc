// SPDX-License-Identifier: Apache-2.0
// The verb `startup`: writes what holdfast-dataplane is started with, the seam's serialised Startup
// message, from the configuration. The file holds the hash key, so only its owner can read it.
#include "config/diagnostic.h"
#include "config/load.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"
#include "control/publish/build.h"
#include "control/publish/durable_file.h"
#include "control/publish/hash_key.h"
#include "dataplane/api/codec.h"

#include <filesystem>
#include <memory>

namespace holdfast::control {
namespace {

struct StartupOptions {
  std::string config;
  std::string out;
};

void write_startup(const StartupOptions& options, Context& context) {
  const auto loaded = config::load_config(options.config);
  if (!loaded) {
    context.error << config::render(loaded.error());
    context.exit_code = kExitInvalidConfiguration;
    return;
  }
  const auto key = load_hash_key(loaded->dataplane);
  if (!key) {
    context.fail(kExitLacksSomething, key.error());
    return;
  }
  const std::string message = seam::to_wire(startup_spec(*loaded, *key)).SerializeAsString();
  const auto parent = std::filesystem::path(options.out).parent_path().string();
  auto written = make_directory(parent.empty() ? "." : parent);
  if (written) {
    written = write_durably(options.out, message);
  }
  if (!written) {
    context.fail(kExitLacksSomething, "cannot write " + written.error());
  }
}

}  // namespace

void add_startup(CLI::App& app, Context& context) {
  auto options = std::make_shared<StartupOptions>();
  Verb(app, "startup", "Write the file that holdfast-dataplane is started with")
      .required({"--config", "FILE", "the configuration"}, options->config)
      .required({"--out", "FILE", "the file to write"}, options->out)
      .runs([options, &context] { write_startup(*options, context); });
}

}  // namespace holdfast::control
