// SPDX-License-Identifier: Apache-2.0
// The verb `events`: the ledger, as a list, or followed as it grows.
#include "control/cli/control_client.h"
#include "control/cli/json_fields.h"
#include "control/cli/listing.h"
#include "control/cli/options.h"
#include "control/cli/program.h"
#include "control/cli/verb.h"
#include "control/cli/verb_answer.h"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <thread>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

namespace holdfast::control {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kEventsLimit{5'000};
constexpr std::chrono::milliseconds kSilence{30'000};  // three heartbeats
constexpr std::chrono::milliseconds kTryAgain{1'000};
constexpr std::size_t kLargestMessage = std::size_t{1} << 20U;

struct EventsOptions {
  Connection connection;
  Format format = Format::kTable;
  bool follow = false;
};

// Reads server-sent events (event_stream.h) in pieces of any size.
class Follower {
 public:
  Follower(Format format, Context& context) : format_(format), context_(context) {}

  // False once the output can take no more, or what comes is no stream of events.
  bool take(std::string_view piece) {
    text_ += piece;
    for (std::size_t end = text_.find("\n\n"); end != std::string::npos; end = text_.find("\n\n")) {
      print(std::string_view(text_).substr(0, end));
      text_.erase(0, end + 2);
    }
    context_.out.flush();
    return context_.out.good() && text_.size() < kLargestMessage;
  }
  void begin() { text_.clear(); }
  [[nodiscard]] const std::string& last_id() const { return id_; }

 private:
  void print(std::string_view message) {
    std::string data;
    for (std::size_t at = 0; at < message.size();) {
      const std::size_t end = std::min(message.find('\n', at), message.size());
      const std::string_view line = message.substr(at, end - at);
      at = end + 1;
      if (line.starts_with("id: ")) {
        id_ = line.substr(4);
      } else if (line.starts_with("data: ")) {
        data = line.substr(6);
      } else if (line == "event: gap") {
        context_.error << "holdfast: events before these are kept no more\n";
      }
    }
    boost::system::error_code error;
    const json::value event = json::parse(data.empty() ? "null" : data, error);
    if (error || !event.is_object()) {
      return;
    }
    context_.out << (format_ == Format::kJson ? data + "\n" : event_line(event.get_object()));
  }

  Format format_;
  Context& context_;
  std::string text_;
  std::string id_;
};

// Until the output ends, or there is no control at the beginning.
void follow(const ControlClient& client, Format format, Context& context) {
  Follower follower(format, context);
  while (context.out.good()) {
    follower.begin();
    const std::string more =
        "Accept: text/event-stream\r\nConnection: close\r\n" +
        (follower.last_id().empty() ? "" : "Last-Event-ID: " + follower.last_id() + "\r\n");
    const ClientFailure end = client.follow(
        "/v1/events", more, [&](std::string_view piece) { return follower.take(piece); }, kSilence);
    if (end.exit_code == kExitOk) {
      return;
    }
    if (follower.last_id().empty()) {
      context.fail(end.exit_code, end.text);
      return;
    }
    context.error << "holdfast: " << end.text << "; trying again\n";
    std::this_thread::sleep_for(kTryAgain);
  }
}

void show_events(const EventsOptions& options, Context& context) {
  const auto sockets = find_sockets(options.connection, context);
  if (!sockets) {
    return;
  }
  const ControlClient client(sockets->control);
  const auto answer = client.get("/v1/events", kEventsLimit);
  if (!answer) {
    context.fail(answer.error().exit_code, answer.error().text);
  } else if (answer->contains("outcome")) {  // a control of before, that has no such path
    print_answer(*answer, options.format, context);
  } else if (options.follow) {
    follow(client, options.format, context);
  } else {
    context.out << (options.format == Format::kJson ? json::serialize(*answer) + "\n"
                                                    : events_text(*answer));
  }
}

}  // namespace

void add_events(CLI::App& app, Context& context) {
  auto options = std::make_shared<EventsOptions>();
  Verb verb(app, "events", "List what happened that can move flows, and what moved");
  verb.flag({"-f,--follow", "", "go on with what happens from now on"}, options->follow);
  add_connection(verb, options->connection);
  add_format(verb, options->format);
  verb.runs([options, &context] { show_events(*options, context); });
}

}  // namespace holdfast::control
