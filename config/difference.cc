// SPDX-License-Identifier: Apache-2.0
// What a running process cannot change: start-up keys and ports.
#include "config/load.h"
#include "config/scalar.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

std::string text_of(const std::string& value) { return value.empty() ? "not set" : quote(value); }
std::string text_of(bool value) { return value ? "true" : "false"; }
std::string text_of(std::uint64_t value) { return fmt::to_string(value); }
std::string text_of(const std::optional<std::uint32_t>& value) {
  return value ? fmt::to_string(*value) : "auto";
}
std::string text_of(Idle value) { return value == Idle::kSleep ? "sleep" : "poll"; }
std::string memory_text(const std::optional<std::uint64_t>& value) {
  return value ? size_text(*value) : "auto";
}

// One section of the file, key by key.
template <typename Section>
class Comparison {
 public:
  Comparison(std::string name, std::string remedy, const Section& running, const Section& wanted)
      : name_(std::move(name)), remedy_(std::move(remedy)), running_(running), wanted_(wanted) {}

  template <typename T>
  void key(const std::string& key, T Section::* member) {
    if (running_.*member != wanted_.*member) {
      add(key, text_of(running_.*member), text_of(wanted_.*member));
    }
  }
  void add(const std::string& key, const std::string& from, const std::string& to) {
    const auto place = wanted_.places.find(key);
    const std::string prefix = place == wanted_.places.end() ? "" : place->second.text() + ": ";
    lines_.push_back(fmt::format(
        "{}{}.{} cannot change from {} to {} without {}", prefix, name_, key, from, to, remedy_));
  }
  std::vector<std::string> take() { return std::move(lines_); }

 private:
  std::string name_;
  std::string remedy_;
  const Section& running_;
  const Section& wanted_;
  std::vector<std::string> lines_;
};

bool same_port(const Port& a, const Port& b) {
  return a.device == b.device && a.interface == b.interface && a.receive_file == b.receive_file &&
         a.transmit_file == b.transmit_file && a.repeat == b.repeat && a.mtu == b.mtu &&
         a.vlan == b.vlan && a.pci_address == b.pci_address && a.socket == b.socket &&
         a.role == b.role && a.memif_id == b.memif_id && a.mac == b.mac && a.twin == b.twin &&
         a.bond_mode == b.bond_mode && a.links == b.links;
}

std::vector<std::string> port_differences(const Config& running, const Config& wanted) {
  std::vector<std::string> lines;
  for (const Port& port : running.ports) {
    if (std::ranges::find(wanted.ports, port.name, &Port::name) == wanted.ports.end()) {
      lines.push_back(fmt::format("port '{}' cannot be removed without a restart", port.name));
    }
  }
  for (const Port& port : wanted.ports) {
    const auto old = std::ranges::find(running.ports, port.name, &Port::name);
    if (old == running.ports.end()) {
      lines.push_back(fmt::format(
          "{}: port '{}' cannot be added without a restart", port.place.text(), port.name));
    } else if (!same_port(*old, port)) {
      lines.push_back(fmt::format(
          "{}: port '{}' cannot be changed without a restart", port.place.text(), port.name));
    }
  }
  if (lines.empty() &&
      !std::ranges::equal(running.ports, wanted.ports, {}, &Port::name, &Port::name)) {
    lines.emplace_back("the order of the ports cannot be changed without a restart");
  }
  return lines;
}

std::vector<std::string> routes_differences(const Config& running, const Config& wanted) {
  const auto& before = running.routes;
  const auto& after = wanted.routes;
  if (!before && !after) {
    return {};
  }
  if (!after) {
    return {"'routes' cannot be removed without a restart"};
  }
  const std::string place = after->place.text();
  if (!before) {
    return {fmt::format("{}: 'routes' cannot be added without a restart", place)};
  }
  if (before->device == after->device && before->protocol == after->protocol &&
      before->table == after->table) {
    return {};
  }
  return {fmt::format("{}: 'routes' cannot be changed without a restart", place)};
}

std::vector<std::string> pair_differences(const Config& running, const Config& wanted) {
  if (running.pair.has_value() == wanted.pair.has_value() &&
      (!wanted.pair || running.pair->start == wanted.pair->start)) {
    return {};
  }
  return {wanted.pair ? fmt::format("{}: 'pair' cannot be added or changed without a restart",
                                    wanted.pair->place.text())
                      : "'pair' cannot be removed without a restart"};
}

}  // namespace

std::vector<std::string> startup_differences(const Config& running, const Config& wanted) {
  const Dataplane& before = running.dataplane;
  const Dataplane& after = wanted.dataplane;
  Comparison comparison("dataplane", "a restart", before, after);
  comparison.key("workers", &Dataplane::workers);
  if (before.memory_bytes != after.memory_bytes) {
    comparison.add("memory", memory_text(before.memory_bytes), memory_text(after.memory_bytes));
  }
  comparison.key("flows", &Dataplane::flows);
  comparison.key("huge_pages", &Dataplane::huge_pages);
  comparison.key("idle", &Dataplane::idle);
  comparison.key("hash_key_file", &Dataplane::hash_key_file);
  comparison.key("socket", &Dataplane::socket);
  comparison.key("directory", &Dataplane::directory);
  comparison.key("state_file", &Dataplane::state_file);
  comparison.key("instance", &Dataplane::instance);
  std::vector<std::string> lines = comparison.take();
  std::ranges::move(port_differences(running, wanted), std::back_inserter(lines));
  std::ranges::move(routes_differences(running, wanted), std::back_inserter(lines));
  std::ranges::move(pair_differences(running, wanted), std::back_inserter(lines));
  return lines;
}

std::vector<std::string> control_differences(const Control& running, const Control& wanted) {
  Comparison comparison("control", "a restart of control", running, wanted);
  comparison.key("socket", &Control::socket);
  comparison.key("directory", &Control::directory);
  comparison.key("metrics", &Control::metrics);
  return comparison.take();
}

}  // namespace holdfast::config
