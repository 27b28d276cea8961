// SPDX-License-Identifier: Apache-2.0
// Names of what a port stands on: network interfaces and PCI devices.
#include "config/sections.h"

#include <algorithm>

#include <fmt/format.h>

namespace holdfast::config {
namespace {

constexpr std::size_t kLongestInterface = 15;  // IFNAMSIZ less its NUL

}  // namespace

// `null` is a device here, though YAML reads it as nothing; the parser hands it over as a text.
Read<std::string> read_interface(const Node& node) {
  Read<std::string> name = read_text(node);
  if (!name) {
    return name;
  }
  if (name->size() > kLongestInterface) {
    return std::unexpected(Complaint{
        fmt::format("{} is longer than {} characters", quote(*name), kLongestInterface), ""});
  }
  const auto unfit = [](unsigned char c) { return c <= ' ' || c >= 0x7f || c == '/' || c == ':'; };
  if (std::ranges::any_of(*name, unfit) || *name == "." || *name == "..") {
    return std::unexpected(
        Complaint{fmt::format("{} is no name of a network interface", quote(*name)), ""});
  }
  return name;
}

// As the kernel writes it: 0000:65:00.0.
Read<std::string> read_pci_address(const Node& node) {
  constexpr std::string_view kForm = "xxxx:xx:xx.7";
  Read<std::string> text = read_text(node);
  if (!text) {
    return text;
  }
  const auto fits = [](char wanted, char c) {
    const bool hexadecimal = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    return wanted == 'x' ? hexadecimal : wanted == '7' ? c >= '0' && c <= '7' : c == wanted;
  };
  if (!std::ranges::equal(kForm, *text, fits)) {
    return std::unexpected(Complaint{quote(*text) + " is no PCI address",
                                     "write it as `lspci -D` does: \"0000:65:00.0\""});
  }
  return text;
}

}  // namespace holdfast::config
