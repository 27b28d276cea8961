// SPDX-License-Identifier: Apache-2.0
// A trace's report for eyes and for programs.
#include "control/admin/port_rule.h"
#include "control/cli/drop_text.h"
#include "control/cli/replay.h"
#include "control/cli/trace.h"
#include "dataplane/affinity.h"

#include <array>
#include <cctype>
#include <cstdio>
#include <utility>

#include <boost/json/array.hpp>

namespace holdfast::control {
namespace {

namespace json = boost::json;
using dataplane::ChosenBy;
using dataplane::FlowKey;
using dataplane::HashFields;
using dataplane::Protocol;

// As in the configuration.
const char* fields_name(HashFields fields) {
  switch (fields) {
    case HashFields::kSource:
      return "source";
    case HashFields::kSourceAndPort:
      return "source-and-port";
    case HashFields::kDestinationPort:
      return "destination-port";
    case HashFields::kFiveTuple:
      break;
  }
  return "5-tuple";
}

// With affinity the source's prefix decides, whatever the fields.
std::string fields_text(const TraceReport& report) {
  if (report.affinity.seconds == 0) {
    return fields_name(report.fields);
  }
  const dataplane::FlowKey key = affinity_key(report.affinity, report.before.key.source);
  const unsigned bits = key.source.is_v4() ? dataplane::kMappedBits + report.affinity.prefix_v4
                                           : unsigned{report.affinity.prefix_v6};
  return "source " + prefix_text(key.source, bits);
}

// What holds for the next flow from there.
std::string affinity_line(const TraceReport& report, const TraceChoice& choice) {
  return fields_text(report) + " will go to " + choice.member.backend + " for " +
         std::to_string(report.affinity.seconds) + " s after its newest flow, by affinity";
}

const char* chosen_by_name(ChosenBy by) {
  switch (by) {
    case ChosenBy::kRehash:
      return "rehash";
    case ChosenBy::kNextUsable:
      return "next usable";
    case ChosenBy::kPrevious:
      return "previous table";
    case ChosenBy::kAffinity:
      return "affinity";
    case ChosenBy::kSlot:
      break;
  }
  return "slot";
}

std::string hex(std::uint64_t value) {
  std::array<char, 19> text{};
  std::snprintf(text.data(), text.size(), "0x%016llx", static_cast<unsigned long long>(value));
  return text.data();
}

std::string protocol_and_port(const FlowKey& key) {
  return (key.protocol == Protocol::kTcp ? "tcp/" : "udp/") +
         std::to_string(key.destination_port.to_host());
}

// As the configuration writes it: tcp/80, udp/5000-5010.
std::string ports_of(const dataplane::BindingSpec& binding) {
  return port_rule(binding.protocol, binding.first_port, binding.last_port);
}

std::string source_text(const FlowKey& key) {
  return endpoint_text(key.source, key.source_port.to_host());
}
std::string destination_text(const FlowKey& key) {
  return endpoint_text(key.destination, key.destination_port.to_host());
}

class Lines {
 public:
  void add(std::string_view key, const std::string& value) {
    constexpr std::size_t kWidth = 10;
    text_.append(key).append(kWidth - key.size(), ' ').append(value).push_back('\n');
  }
  [[nodiscard]] std::string take() { return std::move(text_); }

 private:
  std::string text_;
};

// "203.0.113.7 of 203.0.113.0/24" where the service has a prefix.
std::string vip_text(const TraceReport& report) {
  const std::string address = report.before.key.destination.text();
  return report.binding.prefix_bits == dataplane::kWholeAddress
             ? address
             : address + " of " + prefix_text(report.binding.vip, report.binding.prefix_bits);
}

std::string match_line(const TraceReport& report) {
  const FlowKey& key = report.before.key;
  switch (report.target) {
    case TraceTarget::kService:
      return "service " + report.service + " (vip " + vip_text(report) + ", " +
             ports_of(report.binding) + ", mode " + std::string(mode_name(report.mode)) + ")";
    case TraceTarget::kVip:
      return "vip " + key.destination.text() + ", but no service has " + protocol_and_port(key);
    case TraceTarget::kPool:
      return "nat pool address " + key.destination.text();
    case TraceTarget::kOther:
      break;
  }
  return "none: " + key.destination.text() + " is neither a vip nor in the nat pool";
}

std::string key_note(KeyOrigin origin) {
  switch (origin) {
    case KeyOrigin::kConfigured:
      return "the configured key";
    case KeyOrigin::kNode:
      return "this node's own key";
    case KeyOrigin::kFixed:
      break;
  }
  return "a fixed key, not a node's";
}

std::string member_address(const dataplane::MemberSpec& member) {
  return member.port == 0 ? member.address.text() : endpoint_text(member.address, member.port);
}

std::string choice_line(const TraceReport& report) {
  const std::string usable = std::to_string(report.usable) + " of " +
                             std::to_string(report.members) + " backends take new flows";
  if (!report.choice) {
    return "none: " + usable;
  }
  const TraceChoice& choice = *report.choice;
  return "maglev slot " + std::to_string(choice.slot) + " of " + std::to_string(choice.slots) +
         " -> " + choice.member.backend + " by " + chosen_by_name(choice.by) + " (" +
         member_address(choice.member) + ", weight " + std::to_string(choice.member.weight) +
         ", tier " + std::to_string(choice.tier) + "; " + usable + ")";
}

std::string rewrite_line(const TraceReport& report, const TraceHeaders& after) {
  const TraceHeaders& before = report.before;
  if (report.overhead != 0) {
    const bool udp = after.key.protocol == Protocol::kUdp;
    return std::to_string(report.overhead) + " bytes of " + std::string(mode_name(report.mode)) +
           " headers: src " + (udp ? source_text(after.key) : after.key.source.text()) + "  dst " +
           (udp ? destination_text(after.key) : after.key.destination.text()) + "  ttl " +
           std::to_string(after.ttl) + "; behind them the packet as it came";
  }
  if (before.key == after.key && before.ttl == after.ttl) {
    return "MAC addresses only";
  }
  return "src " + source_text(before.key) + " -> " + source_text(after.key) + "  dst " +
         destination_text(before.key) + " -> " + destination_text(after.key) + "  ttl " +
         std::to_string(before.ttl) + " -> " + std::to_string(after.ttl);
}

// What became of the MSS; empty when nothing did.
std::string mss_text(const TraceReport& report) {
  const std::uint16_t before = trace_mss(report.before.key.source.is_v4());
  if (!report.mss || *report.mss == before) {
    return "";
  }
  return std::to_string(before) + " -> " + std::to_string(*report.mss);
}

// As in the configuration.
std::string vlan_text(dataplane::VlanTags tags) {
  const std::string outer = tags.service() == 0 ? "" : std::to_string(tags.service()) + ".";
  return outer + std::to_string(tags.customer());
}

std::string vlan_note(dataplane::VlanTags tags) {
  return tags.any() ? " (vlan " + vlan_text(tags) + ")" : "";
}

void add_tunnel(Lines& lines, const TraceTunnel& tunnel) {
  lines.add("outer", outer_text(tunnel));
  if (const std::string hops = hops_text(tunnel); !hops.empty()) {
    lines.add("hops", hops);
  }
  if (const std::string inner = inner_text(tunnel); !inner.empty()) {
    lines.add("inner", inner);
  }
}

std::string verdict_line(const TraceReport& report) {
  std::string text(verdict_name(report.verdict));
  for (char& letter : text) {
    letter = static_cast<char>(std::toupper(static_cast<unsigned char>(letter)));
  }
  if (report.reason) {
    text.append(" ").append(drop_name(*report.reason)).append(": ");
    text.append(drop_text(*report.reason).meaning);
  }
  return text;
}

json::object headers_json(const TraceHeaders& headers) {
  return {{"source", source_text(headers.key)},
          {"destination", destination_text(headers.key)},
          {"ttl", headers.ttl},
          {"source_mac", mac_text(headers.source_mac)},
          {"destination_mac", mac_text(headers.destination_mac)}};
}

json::value choice_json(const TraceReport& report) {
  if (!report.choice) {
    return nullptr;
  }
  const TraceChoice& choice = *report.choice;
  return json::object{
      {"slot", choice.slot},
      {"slots", choice.slots},
      {"by", chosen_by_name(choice.by)},
      {"tier", choice.tier},
      {"backend", choice.member.backend},
      {"address", choice.member.address.text()},
      {"port", choice.member.port},
      {"weight", choice.member.weight},
      {"usable", report.usable},
      {"backends", report.members},
  };
}

json::value match_json(const TraceReport& report) {
  if (report.target != TraceTarget::kService) {
    return nullptr;
  }
  return json::object{{"service", report.service},
                      {"vip", prefix_text(report.binding.vip, report.binding.prefix_bits)},
                      {"ports", ports_of(report.binding)},
                      {"mode", mode_name(report.mode)}};
}

}  // namespace

std::string trace_text(const TraceReport& report) {
  Lines lines;
  lines.add("match", match_line(report));
  if (report.decided) {
    lines.add("hash",
              hex(report.hash) + " of " + fields_text(report) + ", by " + key_note(report.key));
    lines.add("flow", "new: a trace begins with empty tables");
    lines.add("choose", choice_line(report));
    for (const PassedOver& passed : report.passed_over) {
      lines.add("passed", passed.backend + ": " + passed.why);
    }
    if (report.choice && report.affinity.seconds != 0) {
      lines.add("affinity", affinity_line(report, *report.choice));
    }
  }
  if (report.after) {
    lines.add("rewrite", rewrite_line(report, *report.after));
    if (report.tunnel) {
      add_tunnel(lines, *report.tunnel);
    }
    if (const std::string mss = mss_text(report); !mss.empty()) {
      lines.add("mss", mss);
    }
    lines.add("out",
              "port " + report.port + vlan_note(report.vlan) + "  mac " +
                  mac_text(report.after->source_mac) + " -> " +
                  mac_text(report.after->destination_mac) + " (assumed: no node was asked)");
  }
  if (report.too_big) {
    lines.add("answer",
              "packet too big, at most " + std::to_string(*report.too_big) + " bytes, from " +
                  report.before.key.destination.text() + " to " + report.before.key.source.text());
  }
  lines.add("verdict", verdict_line(report));
  if (report.reason) {
    lines.add("remedy", std::string(drop_text(*report.reason).remedy));
  }
  return lines.take();
}

json::object trace_json(const TraceReport& report) {
  json::array passed;
  for (const PassedOver& member : report.passed_over) {
    passed.push_back(json::object{{"backend", member.backend}, {"why", member.why}});
  }
  json::value hash = nullptr;
  if (report.decided) {
    hash = json::object{{"value", hex(report.hash)},
                        {"fields", fields_text(report)},
                        {"key", key_origin_name(report.key)}};
  }
  json::value reason = nullptr;
  if (report.reason) {
    reason = drop_name(*report.reason);
  }
  return {
      {"match", match_json(report)},
      {"hash", std::move(hash)},
      {"choose", choice_json(report)},
      {"passed_over", std::move(passed)},
      {"before", headers_json(report.before)},
      {"after", report.after ? json::value(headers_json(*report.after)) : json::value(nullptr)},
      {"overhead", report.overhead},
      {"tunnel", report.tunnel ? json::value(tunnel_json(*report.tunnel)) : json::value(nullptr)},
      {"mss", report.mss ? json::value(*report.mss) : json::value(nullptr)},
      {"too_big", report.too_big ? json::value(*report.too_big) : json::value(nullptr)},
      {"vlan", report.vlan.any() ? json::value(vlan_text(report.vlan)) : json::value(nullptr)},
      {"out", report.after ? json::value(report.port) : json::value(nullptr)},
      {"verdict", verdict_name(report.verdict)},
      {"reason", std::move(reason)},
      {"meaning",
       report.reason ? json::value(drop_text(*report.reason).meaning) : json::value(nullptr)}};
}

}  // namespace holdfast::control
