// SPDX-License-Identifier: Apache-2.0
// Options that several verbs share, and what follows from them: where control and the dataplane
// listen, how long to wait, table or JSON.
#pragma once

#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace holdfast::control {

class Verb;
struct Context;

enum class Format : std::uint8_t { kTable, kJson };

// -o, --output table|json
void add_format(Verb& verb, Format& format);

// --socket PATH, --config FILE
struct Connection {
  std::string socket;
  std::string config;
};
void add_connection(Verb& verb, Connection& connection);

struct Sockets {
  std::string control;
  std::string dataplane;  // the read-only one
};

// From --socket, else from --config, even one with errors, else the defaults. Prints why and sets
// the exit code when there is nothing to return.
std::optional<Sockets> find_sockets(const Connection& connection, Context& context);

// "250ms", "5s", "2m", "1h"; nothing else, and at most a year. The error is a sentence.
std::expected<std::chrono::milliseconds, std::string> parse_duration(std::string_view text);

// An option with a duration as its value.
void add_duration(Verb& verb,
                  const std::string& name,
                  const std::string& meaning,
                  std::function<void(std::chrono::milliseconds)> take);
// --timeout DURATION. `meaning` says what happens without it.
void add_timeout(Verb& verb,
                 const std::string& meaning,
                 std::function<void(std::chrono::milliseconds)> take);

// "250ms", "5s", "2m 5s", "1h 2m", "4d 2h": the two largest units, for tables and messages.
std::string duration_text(std::chrono::duration<double> duration);

}  // namespace holdfast::control
