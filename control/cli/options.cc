// SPDX-License-Identifier: Apache-2.0
// See options.h.
#include "control/cli/options.h"

#include "config/diagnostic.h"
#include "config/load.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <system_error>
#include <utility>

namespace holdfast::control {
namespace {

using std::chrono::milliseconds;

struct Unit {
  std::string_view name;
  std::int64_t ms;
};

constexpr std::array<Unit, 4> kUnits = {{{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}}};
constexpr std::int64_t kYearMs = 365LL * 24 * 3'600'000;

struct LongUnit {
  const char* name;
  long seconds;
};
constexpr std::array<LongUnit, 4> kLongUnits = {{{"d", 86'400}, {"h", 3'600}, {"m", 60}, {"s", 1}}};

struct NamedFormat {
  std::string_view name;
  Format format;
};
constexpr std::array<NamedFormat, 2> kFormats = {
    {{"table", Format::kTable}, {"json", Format::kJson}}};

}  // namespace

void add_format(Verb& verb, Format& format) {
  verb.read({"-o,--output", "FORMAT", "table (default) or json"},
            [&format](const std::string& name) -> std::string {
              const auto* const named = std::ranges::find(kFormats, name, &NamedFormat::name);
              if (named == kFormats.end()) {
                return "'" + name + "' is no format: write table or json";
              }
              format = named->format;
              return "";
            });
}

void add_connection(Verb& verb, Connection& connection) {
  // An empty one is a variable that a script has not set: not the default.
  const auto named = [](std::string& path) {
    return [&path](const std::string& given) {
      path = given;
      return given.empty() ? "it is empty" : "";
    };
  };
  verb.read({"--socket",
             "PATH",
             "control's socket; default: the configuration's, else " + config::Control().socket},
            named(connection.socket))
      .read({"--config", "FILE", "configuration that names the sockets"}, named(connection.config));
}

std::optional<Sockets> find_sockets(const Connection& connection, Context& context) {
  Sockets sockets{connection.socket, ""};
  if (sockets.control.empty() && !connection.config.empty()) {
    // A file with errors is no reason not to find what runs.
    const auto endpoints = config::load_endpoints(connection.config);
    if (!endpoints) {
      const auto loaded = config::load_config(connection.config);
      context.error << (loaded ? "" : config::render(loaded.error()));
      context.fail(kExitInvalidConfiguration,
                   "the sockets cannot be read from " + connection.config + ": use --socket");
      return std::nullopt;
    }
    return Sockets{endpoints->control.socket, endpoints->dataplane.socket + ".ro"};
  }
  if (sockets.control.empty()) {
    sockets.control = config::Control().socket;
  }
  // The two sockets stand side by side unless a configuration says otherwise.
  sockets.dataplane = std::filesystem::path(sockets.control).replace_filename("dataplane.sock.ro");
  return sockets;
}

std::expected<milliseconds, std::string> parse_duration(std::string_view text) {
  std::int64_t amount = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), amount);
  const std::string_view rest = text.substr(static_cast<std::size_t>(end - text.data()));
  const auto* const unit = std::ranges::find(kUnits, rest, &Unit::name);
  const bool too_large = error == std::errc::result_out_of_range && !text.starts_with('-');
  if ((error != std::errc{} && !too_large) || unit == kUnits.end() || amount < 0) {
    return std::unexpected("'" + std::string(text) +
                           "' is no duration: write 500ms, 30s, 5m or 1h");
  }
  if (too_large || amount > kYearMs / unit->ms) {
    return std::unexpected("'" + std::string(text) + "' is longer than a year (8760h)");
  }
  return milliseconds(amount * unit->ms);
}

void add_duration(Verb& verb,
                  const std::string& name,
                  const std::string& meaning,
                  std::function<void(milliseconds)> take) {
  verb.read({name, "DURATION", meaning}, [take = std::move(take)](const std::string& text) {
    const auto duration = parse_duration(text);
    if (duration) {
      take(*duration);
    }
    return duration ? "" : duration.error();
  });
}

void add_timeout(Verb& verb, const std::string& meaning, std::function<void(milliseconds)> take) {
  add_duration(verb, "--timeout", meaning, std::move(take));
}

std::string duration_text(std::chrono::duration<double> duration) {
  const double seconds = duration.count();
  if (seconds < 1) {
    return std::to_string(std::lround(std::max(seconds, 0.0) * 1e3)) + "ms";
  }
  long left = std::lround(seconds);
  std::string text;
  for (const LongUnit& unit : kLongUnits) {
    if (left >= unit.seconds) {
      const bool second = !text.empty();
      text += (second ? " " : "") + std::to_string(left / unit.seconds) + unit.name;
      left %= unit.seconds;
      if (second) {
        break;
      }
    }
  }
  return text;
}

}  // namespace holdfast::control
