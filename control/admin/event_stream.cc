// SPDX-License-Identifier: Apache-2.0
// See event_stream.h.
#include "control/admin/event_stream.h"

#include "control/admin/views_json.h"

#include <charconv>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <boost/json/serialize.hpp>

namespace holdfast::control {
namespace {

namespace asio = boost::asio;

// How far a reader is.
struct Place {
  std::uint64_t life = 0;
  std::uint64_t change = 0;
};

std::optional<std::uint64_t> number_in(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole ? std::optional(number) : std::nullopt;
}

Place place_in(std::string_view id) {
  const std::size_t dash = id.find('-');
  const auto life = number_in(id.substr(0, dash));
  const auto change = number_in(dash == std::string_view::npos ? "" : id.substr(dash + 1));
  return life && change ? Place{*life, *change} : Place{};
}

std::string text_of(const EventsView& view) {
  std::string text = view.gap ? "event: gap\ndata:\n\n" : "";
  for (const EventView& event : view.events) {
    text += "id: " + std::to_string(view.life) + "-" + std::to_string(event.change) +
            "\nevent: entry\ndata: " + boost::json::serialize(to_json(event)) + "\n\n";
  }
  return text.empty() ? ":\n\n" : text;
}

asio::awaitable<std::optional<std::string>> next_piece(Operator* target,
                                                       std::shared_ptr<Place> place) {
  const EventsView view = co_await target->events(place->life, place->change, kHeartbeat);
  if (view.over) {
    co_return std::nullopt;
  }
  *place = {view.life, view.change};
  co_return text_of(view);
}

}  // namespace

HttpResponse follow_events(Operator& target, std::string_view last_event_id) {
  HttpResponse response;
  response.content_type = "text/event-stream";
  auto place = std::make_shared<Place>(place_in(last_event_id));
  response.stream = [target = &target, place = std::move(place)] {
    return next_piece(target, place);
  };
  return response;
}

}  // namespace holdfast::control
