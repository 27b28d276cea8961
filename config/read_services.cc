// SPDX-License-Identifier: Apache-2.0
// Reads services with their backends, and the defaults that they start from.
#include "config/ip.h"
#include "config/rules.h"
#include "config/sections.h"

#include <algorithm>
#include <array>
#include <chrono>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t kLeastSlots = 4093;
constexpr std::uint32_t kMostSlots = 65537;
// Flow entries are stamped with 16 bits of seconds and swept once a minute.
constexpr std::chrono::seconds kLongestTimeout = 18h;

constexpr std::array kForwardingModes = {Word{"nat", Mode::kNat},
                                         Word{"dsr", Mode::kDsr},
                                         Word{"ipip", Mode::kIpip},
                                         Word{"gue", Mode::kGue},
                                         Word{"gre", Mode::kGre},
                                         Word{"vxlan", Mode::kVxlan}};
constexpr std::array kBalanceTypes = {Word<std::string_view>{"maglev", "maglev"}};
constexpr std::array kHashes = {Word{"5-tuple", HashFields::kFiveTuple},
                                Word{"source", HashFields::kSource},
                                Word{"source-and-port", HashFields::kSourceAndPort},
                                Word{"destination-port", HashFields::kDestinationPort}};
constexpr std::array kMssRules = {
    Word{"auto", MssRule::kAuto}, Word{"keep", MssRule::kKeep}, Word{"clamp", MssRule::kClamp}};
constexpr std::uint64_t kLeastMss = 536;    // what IPv4 means without the option
constexpr std::uint64_t kMostMss = 65'495;  // the longest IPv4 packet less its headers
constexpr std::array kDrainEnds = {Word{"reset", DrainEnd::kReset},
                                   Word{"keep", DrainEnd::kKeep},
                                   Word{"remove", DrainEnd::kRemove}};
constexpr std::array kOnDown = {
    Word{"keep", OnDown::kKeep}, Word{"reset", OnDown::kReset}, Word{"rehash", OnDown::kRehash}};

bool is_prime(std::uint64_t number) {
  for (std::uint64_t divisor = 2; divisor * divisor <= number; ++divisor) {
    if (number % divisor == 0) {
      return false;
    }
  }
  return number > 1;
}

Read<std::uint64_t> read_slots(const Node& node) {
  const Read<std::uint64_t> slots = read_integer(node, {kLeastSlots, kMostSlots});
  if (!slots || is_prime(*slots)) {
    return slots;
  }
  std::uint64_t below = *slots;
  std::uint64_t above = *slots;
  while (!is_prime(below)) {
    --below;
  }
  while (!is_prime(above)) {
    ++above;
  }
  return std::unexpected(Complaint{fmt::format("{} is not prime", *slots),
                                   fmt::format("the next ones are {} and {}", below, above)});
}

Read<std::chrono::seconds> read_timeout(const Node& node) {
  const Read<std::chrono::milliseconds> value = read_duration(node, {1s, kLongestTimeout});
  if (!value) {
    return std::unexpected(value.error());
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*value);
  if (seconds != *value) {
    return std::unexpected(
        Complaint{fmt::format("{} is not a whole number of seconds", quote(node.text)), ""});
  }
  return seconds;
}

bool is_word(const Node* node, std::string_view word) {
  return node != nullptr && node->kind == Kind::kScalar && node->text == word;
}

// "service 'web'", before its keys have been looked at.
std::string title(const Node& node, std::string_view noun, std::size_t number) {
  for (std::size_t i = 0; i < node.keys.size(); ++i) {
    if (node.keys[i].text == "name" && node.items[i].kind == Kind::kScalar) {
      return fmt::format("{} {}", noun, quote(node.items[i].text));
    }
  }
  return fmt::format("{} number {}", noun, number);
}

// A name, but not one that an object of the verbs has; `host:` and `tier:` are no names anyway.
Read<std::string> read_backend_name(const Node& node) {
  Read<std::string> name = read_name(node);
  if (name && *name == "node") {
    return std::unexpected(Complaint{"'node' stands for every backend in the operator's verbs",
                                     "give it another name, as 'node1'"});
  }
  return name;
}

class ServiceReader {
 public:
  ServiceReader(const Node& node,
                std::size_t number,
                const CheckTemplates& templates,
                ServiceDraft& draft,
                Journal& journal)
      : title_(title(node, "service", number)),
        fields_(node, title_, kServiceKeys, journal),
        templates_(templates),
        draft_(draft),
        journal_(journal) {}

  void read() {
    Service& service = draft_.service;
    draft_.name = fields_.where("name");
    if (const Node* name = fields_.set_required("name", service.name, read_name)) {
      draft_.name = name->where;
    }
    service.place = journal_.place(draft_.name);
    read_vips();
    read_ports();
    if (fields_.has("mode")) {
      draft_.mode_known = fields_.set("mode", service.mode, read_mode) != nullptr;
    }
    read_tunnel_key();
    fields_.set("mss", service.mss, read_mss);
    read_balance_keys();
    draft_.affinity = fields_.has("affinity") ? fields_.where("affinity") : draft_.name;
    if (const Node* node = fields_.find("affinity")) {
      read_affinity(*node, title_, service.affinity, journal_);
    }
    read_check_key();
    if (const Node* node = fields_.find("damping")) {
      read_damping(*node, title_, service.damping, journal_);
    }
    if (const Node* node = fields_.find("drain")) {
      read_drain(*node, title_, service.drain, journal_);
    }
    fields_.set("on_down", service.on_down, word(kOnDown));
    fields_.set("min_capacity", service.min_capacity, read_min_capacity);
    if (const Node* node = fields_.find("announce")) {
      read_announce(*node, title_, service.announce, journal_);
    }
    if (const Node* node = fields_.find("timeouts")) {
      read_timeouts(*node, title_, service.timeouts, journal_);
    }
    read_backends();
  }

 private:
  void read_vips() {
    fields_.require("vips");
    const bool read = fields_.each("vips", [&](const Node& item) {
      const Read<Vip> vip = read_vip(item);
      if (!vip) {
        return fields_.report(item, "VIP", vip.error());
      }
      draft_.service.vips.push_back(*vip);
      draft_.vips.push_back(item.where);
    });
    draft_.vips_complete = read && fields_.complete() && not_empty("vips");
  }

  void read_ports() {
    fields_.require("ports");
    const bool read = fields_.each("ports", [&](const Node& item) {
      Read<ServicePort> port = read_service_port(item);
      if (!port) {
        return fields_.report(item, "port", port.error());
      }
      port->place = journal_.place(item.where);
      draft_.service.ports.push_back(*port);
      draft_.ports.push_back(item.where);
    });
    draft_.ports_complete = read && fields_.complete() && not_empty("ports");
  }

  bool not_empty(Key key) {
    const Node* list = fields_.find(key);
    if (list != nullptr && list->kind == Kind::kSequence && list->items.empty()) {
      journal_.error(list->where, fmt::format("'{}' of {} is empty", key, title_));
      return false;
    }
    return list != nullptr;
  }

  void read_tunnel_key() {
    const Node* node = fields_.find("tunnel");
    if (node == nullptr || !draft_.mode_known) {
      return;
    }
    draft_.tunnel = fields_.where("tunnel");
    if (!is_tunnel(draft_.service.mode)) {
      journal_.error(
          draft_.tunnel,
          fmt::format("mode '{}' of {} has no tunnel", mode_name(draft_.service.mode), title_),
          "only ipip, gue, gre and vxlan have");
      return;
    }
    read_tunnel(*node, title_, draft_.service.mode, draft_.service.tunnel, journal_);
  }

  void read_balance_keys() {
    draft_.slots = fields_.where("balance");
    if (const Node* node = fields_.find("balance")) {
      read_balance(*node, title_, draft_.service.balance, journal_);
    }
    if (!fields_.has("balance")) {
      draft_.slots = draft_.name;
    }
  }

  void read_check_key() {
    const Node* node = fields_.find("check");
    if (node == nullptr) {
      return;
    }
    draft_.service.has_check = true;
    if (node->kind != Kind::kScalar) {
      draft_.service.check = read_check(*node, draft_.service.check, "", journal_);
      return;
    }
    if (node->text == "none") {
      draft_.service.has_check = false;
      return;
    }
    const auto found = templates_.find(node->text);
    if (found != templates_.end()) {
      draft_.service.check = found->second.check;
    } else {
      report_unknown_check(*node);
    }
  }

  void report_unknown_check(const Node& node) {
    std::string help;
    if (!journal_.full()) {
      std::vector<std::string_view> names = {"none"};
      for (const auto& [name, unused] : templates_) {
        names.push_back(name);
      }
      help = suggestion(journal_.nearest(node.text, names));
    }
    journal_.error(node.where,
                   fmt::format("unknown check {} in {}", quote(node.text), title_),
                   std::move(help));
  }

  void read_backends() {
    draft_.backends_key = fields_.where("backends");
    fields_.require("backends");
    std::size_t number = 0;
    const bool read =
        fields_.each("backends", [&](const Node& item) { read_backend(item, ++number); });
    draft_.backends_complete = read && fields_.complete() && fields_.has("backends");
  }

  // Keeps the backend when it can be told from others.
  void read_backend(const Node& node, std::size_t number) {
    const std::string what = title(node, "backend", number);
    const Fields fields(node, fmt::format("{} of {}", what, title_), kBackendKeys, journal_);
    BackendDraft draft;
    Backend& backend = draft.backend;
    const Node* name = fields.set_required("name", backend.name, read_backend_name);
    const Node* address = fields.set_required("address", backend.address, read_unicast);
    const Node* port = fields.set("port", backend.port, integer(1, 65535));
    fields.set("weight", backend.weight, integer(0, 65535));
    fields.set("tier", backend.tier, integer(0, 255));
    const Node* inner_mac = fields.set("inner_mac", backend.inner_mac, read_station);
    const Node* mtu = fields.set("mtu", backend.mtu, integer(576, 65535));
    draft.inner_mac_known = inner_mac != nullptr || fields.has("inner_mac");
    if (name == nullptr || address == nullptr) {
      return;
    }
    if (is_loopback(backend.address)) {
      journal_.warning(address->where,
                       backend.address.text() + " is a loopback address: packets cannot reach it");
    }
    draft.name = name->where;
    draft.address = address->where;
    draft.port = port != nullptr ? port->where : name->where;
    draft.inner_mac = inner_mac != nullptr ? inner_mac->where : name->where;
    draft.mtu = mtu != nullptr ? mtu->where : name->where;
    backend.place = journal_.place(name->where);
    draft_.backends.push_back(std::move(draft));
  }

  std::string title_;
  Fields fields_;
  const CheckTemplates& templates_;
  ServiceDraft& draft_;
  Journal& journal_;
};

}  // namespace

std::string_view mode_name(Mode mode) {
  return kForwardingModes.at(static_cast<std::size_t>(mode)).text;
}

Read<Mode> read_mode(const Node& node) { return word(kForwardingModes)(node); }

Read<Mss> read_mss(const Node& node) {
  const bool number = node.kind == Kind::kScalar && !leading_digits(node.text).empty();
  if (number || node.quoted) {
    const Read<std::uint64_t> most = read_integer(node, {kLeastMss, kMostMss});
    if (!most) {
      return std::unexpected(most.error());
    }
    return Mss{.rule = MssRule::kClamp, .most = static_cast<std::uint16_t>(*most)};
  }
  const Read<MssRule> rule = word(kMssRules)(node);
  if (!rule) {
    Complaint complaint = rule.error();
    if (complaint.help.empty()) {
      complaint.help = "or write a number, as 1360";
    }
    return std::unexpected(std::move(complaint));
  }
  return Mss{.rule = *rule};
}

// "2" are members; "50%" is a share of the configured weight, and never less than one member.
Read<MinCapacity> read_min_capacity(const Node& node) {
  if (node.kind == Kind::kScalar && node.text.ends_with('%')) {
    Node digits = node;
    digits.text = node.text.substr(0, node.text.size() - 1);
    const Read<std::uint64_t> percent = read_integer(digits, {1, 100});
    if (!percent) {
      return std::unexpected(Complaint{fmt::format("{} is no share", quote(node.text)),
                                       "write 1% to 100%, or a number of backends"});
    }
    return MinCapacity{.percent = static_cast<std::uint32_t>(*percent)};
  }
  const Read<std::uint64_t> members = read_integer(node, {1, kMostMembers});
  if (!members) {
    Complaint complaint = members.error();
    if (complaint.help.empty()) {
      complaint.help = "or write a share of the weight, as 50%";
    }
    return std::unexpected(std::move(complaint));
  }
  return MinCapacity{.members = static_cast<std::uint32_t>(*members)};
}

void read_balance(const Node& node, std::string_view owner, Balance& balance, Journal& journal) {
  const Fields fields(node, fmt::format("'balance' of {}", owner), kBalanceKeys, journal);
  std::string_view type;
  fields.set("type", type, word(kBalanceTypes));
  fields.set("slots", balance.slots, read_slots);
  fields.set("hash", balance.hash, word(kHashes));
}

void read_affinity(const Node& node, std::string_view owner, Affinity& affinity, Journal& journal) {
  affinity = {};
  if (node.kind == Kind::kScalar && node.text == "none") {
    return;
  }
  const Fields fields(node, fmt::format("'affinity' of {}", owner), kAffinityKeys, journal);
  fields.set_required("time", affinity.time, read_timeout);
  fields.set("prefix", affinity.prefix_v4, integer(1, 32));
  fields.set("prefix6", affinity.prefix_v6, integer(1, 128));
}

void read_drain(const Node& node, std::string_view owner, Drain& drain, Journal& journal) {
  const Fields fields(node, fmt::format("'drain' of {}", owner), kDrainKeys, journal);
  fields.set("deadline", drain.deadline, duration(1s, 24h));
  fields.set("then", drain.then, word(kDrainEnds));
}

void read_timeouts(const Node& node, std::string_view owner, Timeouts& timeouts, Journal& journal) {
  const Fields fields(node, fmt::format("'timeouts' of {}", owner), kTimeoutsKeys, journal);
  fields.set("half_open", timeouts.half_open, read_timeout);
  fields.set("established", timeouts.established, read_timeout);
  fields.set("closing", timeouts.closing, read_timeout);
  fields.set("udp", timeouts.udp, read_timeout);
}

Defaults read_defaults(const Node& node, Journal& journal) {
  Defaults defaults;
  const Fields fields(node, "'defaults'", kDefaultsKeys, journal);
  if (const Node* value = fields.find("check"); is_word(value, "none")) {
    defaults.has_check = false;
  } else if (value != nullptr) {
    defaults.check = read_check(*value, defaults.check, "", journal);
  }
  if (const Node* value = fields.find("balance")) {
    read_balance(*value, "'defaults'", defaults.balance, journal);
  }
  if (const Node* value = fields.find("affinity")) {
    read_affinity(*value, "'defaults'", defaults.affinity, journal);
  }
  if (const Node* value = fields.find("damping")) {
    read_damping(*value, "'defaults'", defaults.damping, journal);
  }
  if (const Node* value = fields.find("drain")) {
    read_drain(*value, "'defaults'", defaults.drain, journal);
  }
  if (const Node* value = fields.find("timeouts")) {
    read_timeouts(*value, "'defaults'", defaults.timeouts, journal);
  }
  fields.set("on_down", defaults.on_down, word(kOnDown));
  fields.set("min_capacity", defaults.min_capacity, read_min_capacity);
  if (const Node* value = fields.find("announce")) {
    read_announce(*value, "'defaults'", defaults.announce, journal);
  }
  fields.set("mss", defaults.mss, read_mss);
  defaults.mode_known = fields.set_if_there("mode", defaults.mode, read_mode);
  return defaults;
}

void read_services(const Node& node,
                   const Defaults& defaults,
                   const CheckTemplates& templates,
                   std::vector<ServiceDraft>& services,
                   Journal& journal) {
  if (node.kind != Kind::kSequence) {
    journal.error(node.where, "'services' " + wrong_kind(node, "a list (- name: ...)").message);
    return;
  }
  std::size_t number = 0;
  for (const Node& item : node.items) {
    ++number;
    if (item.kind == Kind::kRefused) {
      continue;
    }
    ServiceDraft draft;
    draft.service.mode = defaults.mode;
    draft.mode_known = defaults.mode_known;
    draft.service.mss = defaults.mss;
    draft.service.balance = defaults.balance;
    draft.service.affinity = defaults.affinity;
    draft.service.check = defaults.check;
    draft.service.has_check = defaults.has_check;
    draft.service.damping = defaults.damping;
    draft.service.drain = defaults.drain;
    draft.service.on_down = defaults.on_down;
    draft.service.min_capacity = defaults.min_capacity;
    draft.service.announce = defaults.announce;
    draft.service.timeouts = defaults.timeouts;
    ServiceReader(item, number, templates, draft, journal).read();
    services.push_back(std::move(draft));
  }
}

}  // namespace holdfast::config
