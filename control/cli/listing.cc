// SPDX-License-Identifier: Apache-2.0
#include "control/cli/listing.h"

#include "control/cli/json_fields.h"
#include "control/cli/listing_text.h"
#include "control/cli/options.h"
#include "control/cli/table.h"

#include <cmath>
#include <map>

namespace holdfast::control {
namespace {

namespace json = boost::json;

std::string joined(const std::vector<std::string>& texts) {
  std::string result;
  for (const std::string& text : texts) {
    result += (result.empty() ? "" : " ") + text;
  }
  return result.empty() ? "-" : result;
}

std::uint64_t sum(const json::object& counts) {
  std::uint64_t total = 0;
  for (const auto& [name, value] : counts) {
    total += count_field(counts, name);
  }
  return total;
}

// "7 of 8192"
std::string share(std::uint64_t part, std::uint64_t whole) {
  return std::to_string(part) + " of " + std::to_string(whole);
}

std::string with_port(const std::string& address, std::uint64_t port) {
  const bool v6 = address.find(':') != std::string::npos;
  return (v6 ? "[" + address + "]" : address) + (port == 0 ? "" : ":" + std::to_string(port));
}

std::string headline(const json::object& status) {
  if (!status.contains("version")) {
    return "control NOT ANSWERING; dataplane " + text_field(status, "dataplane_version") + "\n";
  }
  const bool connected = flag_field(status, "dataplane_connected");
  return "control " + text_field(status, "version") + ", up " + age_text(status, "uptime_s") +
         "; dataplane " + (connected ? text_field(status, "dataplane_version") : "NOT CONNECTED") +
         "\n";
}

std::string last_reload(const json::object& status) {
  const json::object& reload = object_field(status, "last_reload");
  if (text_field(reload, "result") == "-") {
    return "";
  }
  return "; the last one was " + text_field(reload, "result") + " " + age_text(reload, "age_s") +
         " ago";
}

// What control alone knows; empty when it does not answer.
std::string control_facts(const json::object& status) {
  if (!status.contains("revision")) {
    return "";
  }
  std::string text = "revision " + text_field(status, "revision") +
                     "; reloads: " + text_field(status, "reloads_applied") + " applied, " +
                     text_field(status, "reloads_refused") + " refused" + last_reload(status) +
                     "\n";
  for (const std::string& line : texts_field(object_field(status, "last_reload"), "lines")) {
    text += "  " + line + "\n";
  }
  if (number_field(status, "adopted_ms") >= 0) {
    text += "adopted the dataplane in " +
            milliseconds_text(number_field(status, "adopted_ms") / 1e3) + ", state changes " +
            text_field(status, "adoption_state_changes") + "\n";
  }
  return text;
}

std::string facts(const json::object& status) {
  if (text_field(status, "generation") == "-") {
    return control_facts(status);  // the dataplane does not answer
  }
  const std::string routes = text_field(status, "routes");
  const std::string role = text_field(status, "role");
  return control_facts(status) + "generation " + text_field(status, "generation") +
         "; free packet buffers " +
         share(count_field(status, "mbufs_available"), count_field(status, "mbufs_total")) +
         (routes == "-" ? "" : "; routes to " + routes + " VIPs") +
         (role == "-" ? "" : "; " + role + " of a pair") + "\n";
}

std::string workers_text(const json::object& status) {
  Table table({{"WORKER"},
               {"RECEIVED", Align::kRight},
               {"FORWARDED", Align::kRight},
               {"REPLIED", Align::kRight},
               {"TO KERNEL", Align::kRight},
               {"DROPPED", Align::kRight},
               {"FLOWS", Align::kRight},
               {"UNACCOUNTED", Align::kRight}});
  for (const json::object& worker : objects_field(status, "workers")) {
    const json::object& counters = object_field(worker, "counters");
    table.add({text_field(worker, "worker"),
               text_field(counters, "received"),
               text_field(counters, "forwarded"),
               text_field(counters, "replied"),
               text_field(counters, "to_kernel"),
               std::to_string(sum(object_field(worker, "drops"))),
               share(sum(object_field(worker, "flows")), sum(object_field(worker, "capacity"))),
               text_field(worker, "unaccounted")});
  }
  return table.empty() ? "" : "\n" + table.text();
}

std::string ports_text(const json::object& status) {
  Table table({{"PORT"},
               {"LINK"},
               {"RECEIVED", Align::kRight},
               {"TRANSMITTED", Align::kRight},
               {"MISSED", Align::kRight}});
  for (const json::object& port : objects_field(status, "ports")) {
    const json::object& counters = object_field(port, "counters");
    table.add({text_field(port, "name"),
               flag_field(port, "link_up") ? "up" : "DOWN",
               text_field(counters, "received"),
               text_field(counters, "transmitted"),
               text_field(counters, "missed")});
  }
  return table.empty() ? "" : "\n" + table.text();
}

// Reasons that occurred, over all workers, in the dataplane's order.
std::string drops_text(const json::object& status) {
  json::object totals;
  for (const json::object& worker : objects_field(status, "workers")) {
    const json::object& drops = object_field(worker, "drops");
    for (const auto& [reason, count] : drops) {
      totals[reason] = count_field(totals, reason) + count_field(drops, reason);
    }
  }
  Table table({{"DROPPED"}, {"FRAMES", Align::kRight}});
  for (const auto& [reason, count] : totals) {
    if (count_field(totals, reason) != 0) {
      table.add({std::string(reason), text_field(totals, reason)});
    }
  }
  return table.empty() ? "" : "\n" + table.text();
}

std::string notices_text(const json::object& status) {
  std::string text;
  for (const std::string& notice : texts_field(status, "notices")) {
    text += (text.empty() ? "\nnotice: " : "notice: ") + notice + "\n";
  }
  return text;
}

std::string check_text(const json::object& check) {
  std::string type = text_field(check, "type");
  const std::string reason = text_field(check, "last_reason");
  if (reason == "-") {
    return type;
  }
  std::string text = type + " " + reason;
  if (count_field(check, "streak") > 1) {
    text += " x" + text_field(check, "streak");
  }
  return text + " " + milliseconds_text(number_field(check, "last_duration_s"));
}

std::string penalty_text(const json::object& backend) {
  if (!backend.contains("held_left_s")) {
    return "";
  }
  return text_field(backend, "service") + "/" + text_field(backend, "name") +
         " fell too often: held back for " + age_text(backend, "held_left_s") + " (penalty " +
         std::to_string(std::llround(number_field(backend, "penalty"))) +
         "); `holdfast clear-damping` ends that\n";
}

std::string since_text(const json::object& backend) {
  return backend.contains("since_s") ? age_text(backend, "since_s") : "-";
}

// "3 reset, 2 reopened" over all services; "0" when nothing moved.
std::string moved_text(const json::object& event) {
  std::map<std::string, std::uint64_t> causes;
  for (const json::object& service : objects_field(event, "services")) {
    for (const auto& [cause, count] : object_field(service, "moved")) {
      causes[std::string(cause)] += count.is_number() ? count.to_number<std::uint64_t>() : 0;
    }
  }
  std::string text;
  for (const auto& [cause, count] : causes) {
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + cause;
  }
  return text.empty() ? "0" : text;
}

std::uint64_t sum_over_services(const json::object& event, std::string_view key) {
  std::uint64_t sum = 0;
  for (const json::object& service : objects_field(event, "services")) {
    sum += count_field(service, key);
  }
  return sum;
}

}  // namespace

std::string status_text(const json::object& status) {
  return headline(status) + facts(status) + workers_text(status) + ports_text(status) +
         drops_text(status) + notices_text(status);
}

std::string services_text(const json::object& services) {
  Table table({{"SERVICE"},
               {"MODE"},
               {"VIPS"},
               {"PORTS"},
               {"AFFINITY"},
               {"BACKENDS", Align::kRight},
               {"FLOWS", Align::kRight},
               {"NEW", Align::kRight},
               {"SLOTS", Align::kRight}});
  for (const json::object& service : objects_field(services, "services")) {
    table.add({text_field(service, "name"),
               text_field(service, "mode"),
               joined(texts_field(service, "vips")),
               joined(texts_field(service, "ports")),
               text_field(service, "affinity"),
               share(count_field(service, "usable"), count_field(service, "backends")),
               text_field(service, "flows"),
               text_field(service, "new_flows"),
               text_field(service, "slots")});
  }
  return table.text();
}

std::string backends_text(const json::object& backends) {
  Table table({{"SERVICE"},
               {"BACKEND"},
               {"ADDRESS"},
               {"WEIGHT", Align::kRight},
               {"ADMIN"},
               {"HEALTH"},
               {"TAKES"},
               {"FLOWS", Align::kRight},
               {"NEW", Align::kRight},
               {"CHECK"},
               {"SINCE"},
               {"CAUSE"}});
  std::string drift;
  for (const json::object& backend : objects_field(backends, "backends")) {
    const bool retired = flag_field(backend, "retired");
    table.add({text_field(backend, "service"),
               text_field(backend, "name"),
               with_port(text_field(backend, "address"), count_field(backend, "port")),
               text_field(backend, "weight"),
               retired ? "retired" : text_field(backend, "admin"),
               text_field(backend, "health"),
               text_field(backend, "disposition"),
               text_field(backend, "flows"),
               text_field(backend, "new_flows"),
               check_text(object_field(backend, "check")),
               since_text(backend),
               text_field(backend, "cause")});
    for (const json::object& one : objects_field(backend, "drift")) {
      drift += drift_text(backend, one);
    }
    drift += penalty_text(backend);
  }
  return table.text() + (drift.empty() ? "" : "\n" + drift);
}

std::string revisions_text(const json::object& revisions) {
  Table table({{"REVISION", Align::kRight}, {""}, {"WHEN"}, {"HOW"}, {"WHO"}, {"REASON"}});
  std::string problems;
  for (const json::object& revision : objects_field(revisions, "revisions")) {
    const std::string problem = text_field(revision, "problem");
    table.add({text_field(revision, "number"),
               flag_field(revision, "running") ? "runs" : "",
               date_text(number_field(revision, "unix_ms")),
               text_field(revision, "origin"),
               text_field(revision, "who"),
               text_field(revision, "reason")});
    problems += problem == "-" ? "" : "cannot be read: " + problem + "\n";
  }
  return table.text() + (problems.empty() ? "" : "\n" + problems);
}

std::string events_text(const json::object& events) {
  Table table({{"EVENT", Align::kRight},
               {"WHEN"},
               {"WHAT"},
               {"OF"},
               {"MOVED"},
               {"RESET", Align::kRight},
               {"UNANSWERED", Align::kRight},
               {"UNTRACKED", Align::kRight},
               {"WHO"},
               {"WHY"}});
  for (const json::object& event : objects_field(events, "events")) {
    table.add({text_field(event, "number"),
               date_text(number_field(event, "unix_ms")),
               text_field(event, "kind"),
               text_field(event, "object"),
               moved_text(event),
               std::to_string(sum_over_services(event, "reset")),
               std::to_string(sum_over_services(event, "unanswered")),
               std::to_string(sum_over_services(event, "untracked")),
               text_field(event, "who"),
               text_field(event, "reason")});
  }
  return table.text();
}

std::string event_line(const json::object& event) {
  const json::object& frames = object_field(event, "frames");
  return text_field(event, "number") + " " + date_text(number_field(event, "unix_ms")) + " " +
         text_field(event, "kind") + " " + text_field(event, "object") + ": moved " +
         moved_text(event) + ", reset " + std::to_string(sum_over_services(event, "reset")) +
         ", unanswered " + std::to_string(sum_over_services(event, "unanswered")) + ", untracked " +
         std::to_string(sum_over_services(event, "untracked")) + ", frames held " +
         std::to_string(count_field(frames, "held")) + ", released " +
         std::to_string(count_field(frames, "released")) + ", dropped " +
         std::to_string(count_field(frames, "dropped")) +
         (flag_field(event, "settled") ? ", settled" : "") + " (" + text_field(event, "who") +
         "; " + text_field(event, "reason") + ")\n";
}

std::string flows_text(const json::object& flows) {
  const auto endpoint = [](const json::object& flow, const char* address, const char* port) {
    const std::string text = text_field(flow, address);
    const bool v6 = text.contains(':');
    return (v6 ? "[" + text + "]" : text) + ":" + text_field(flow, port);
  };
  Table table({{"CLIENT"},
               {"VIP"},
               {"PROTO"},
               {"BACKEND"},
               {"MODE"},
               {"STATE"},
               {"IDLE", Align::kRight},
               {"POOL"}});
  std::size_t shown = 0;
  for (const json::object& flow : objects_field(flows, "flows")) {
    const bool translated = flow.contains("pool");
    table.add({endpoint(flow, "client", "client_port"),
               endpoint(flow, "vip", "port"),
               text_field(flow, "protocol"),
               text_field(flow, "service") + "/" + text_field(flow, "backend"),
               text_field(flow, "mode"),
               text_field(flow, "state"),
               text_field(flow, "age_s") + "s",
               translated ? endpoint(flow, "pool", "pool_port") : "-"});
    ++shown;
  }
  const std::uint64_t matched = count_field(flows, "matched");
  const std::string more = matched > shown
                               ? std::to_string(shown) + " of " + std::to_string(matched) +
                                     " flows are listed: --limit takes more\n"
                               : "";
  return table.text() + more;
}

}  // namespace holdfast::control
