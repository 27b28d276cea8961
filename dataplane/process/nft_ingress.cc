// SPDX-License-Identifier: Apache-2.0
// See nft_ingress.h.
#include "dataplane/process/nft_ingress.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nftables/libnftables.h>

namespace holdfast::dataplane {
namespace {

// Our transaction raises the ruleset's number by one. By more: somebody else has changed something
// meanwhile, perhaps our table before we could list it, and it is made anew.
constexpr int kTriesToSee = 3;

// The elements of one family's set: each VIP once, prefixes and pools as ranges; what a pool holds
// is not repeated, because intervals must not overlap.
std::vector<std::string> elements(const GenerationSpec& spec, bool v4) {
  std::vector<PoolSpec> ranges;
  for (const PoolSpec& pool : spec.pools) {
    if (pool.first.is_v4() == v4) {
      ranges.push_back(pool);
    }
  }
  for (const ServiceSpec& service : spec.services) {
    for (const BindingSpec& binding : service.bindings) {
      if (binding.vip.is_v4() == v4) {
        ranges.push_back({.first = binding.vip, .last = last_of(binding.vip, binding.prefix_bits)});
      }
    }
  }
  std::ranges::sort(ranges, {}, &PoolSpec::first);
  std::vector<std::string> texts;
  std::vector<PoolSpec> merged;
  for (const PoolSpec& range : ranges) {
    if (!merged.empty() && range.first <= merged.back().last) {
      merged.back().last = std::max(merged.back().last, range.last);
    } else {
      merged.push_back(range);
    }
  }
  for (const PoolSpec& range : merged) {
    texts.push_back(range.first == range.last
                        ? range.first.text()
                        : fmt::format("{}-{}", range.first.text(), range.last.text()));
  }
  return texts;
}

std::string set_of(const std::vector<std::string>& texts, const char* name, const char* type) {
  const std::string body =
      texts.empty() ? std::string() : fmt::format("elements = {{ {} }}; ", fmt::join(texts, ", "));
  return fmt::format("  set {} {{ type {}; flags interval; {}}}\n", name, type, body);
}

std::string rules_for_vlans(const std::vector<std::uint16_t>& vlans) {
  std::string text;
  for (const char* type : {"8021q", "8021ad"}) {
    text += vlans.empty()
                ? std::string()
                : fmt::format(
                      "    ether type {} vlan id {{ {} }} accept\n", type, fmt::join(vlans, ", "));
  }
  return text;
}

}  // namespace

// Letters, digits and underscores are what nft takes without quotes; others are written as _XX.
std::string nft_table_of(const std::string& label) {
  std::string name = "holdfast_";
  for (const char c : label.empty() ? std::string("default") : label) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    name += plain ? std::string(1, c) : fmt::format("_{:02x}", byte);
  }
  return name.substr(0, 100);
}

std::vector<GuardedInterface> guard(const std::vector<std::string>& interfaces,
                                    const VlanOf& vlan_of) {
  std::vector<GuardedInterface> guarded;
  for (const std::string& name : interfaces) {
    guarded.push_back({.name = name, .vlans = {}});
  }
  for (const std::string& name : interfaces) {
    const std::optional<VlanPlace> place = vlan_of(name);
    if (!place) {
      continue;
    }
    const auto parent = std::ranges::find(guarded, place->parent, &GuardedInterface::name);
    if (parent != guarded.end()) {
      parent->vlans.push_back(place->id);
    }
  }
  return guarded;
}

NftIngress::NftIngress(const std::string& instance, std::vector<GuardedInterface> interfaces)
    : table_(nft_table_of(instance)), interfaces_(std::move(interfaces)) {
  if (!interfaces_.empty()) {
    context_ = nft_ctx_new(NFT_CTX_DEFAULT);
  }
  if (context_ != nullptr) {
    nft_ctx_buffer_output(context_);
    nft_ctx_buffer_error(context_);
  }
}

NftIngress::~NftIngress() {
  if (context_ != nullptr) {
    nft_ctx_free(context_);
  }
}

std::string NftIngress::build_ruleset(const GenerationSpec& spec) const {
  // Adding before deleting makes the deletion succeed whether or not the table was there.
  std::string text =
      fmt::format("add table netdev {0}\ndelete table netdev {0}\ntable netdev {0} {{\n", table_);
  text += set_of(elements(spec, true), "own4", "ipv4_addr");
  text += set_of(elements(spec, false), "own6", "ipv6_addr");
  for (std::size_t i = 0; i < interfaces_.size(); ++i) {
    text += fmt::format(
        "  chain ingress{} {{\n"
        "    type filter hook ingress device \"{}\" priority -500; policy accept;\n"
        "{}"
        "    ip daddr @own4 drop\n    ip6 daddr @own6 drop\n  }}\n",
        i,
        interfaces_[i].name,
        rules_for_vlans(interfaces_[i].vlans));
  }
  return text + "}\n";
}

std::expected<std::string, std::string> NftIngress::run(const std::string& commands) {
  if (context_ == nullptr) {
    return std::unexpected("libnftables does not start");
  }
  const int status = nft_run_cmd_from_buffer(context_, commands.c_str());
  const std::string said = nft_ctx_get_error_buffer(context_);
  if (status != 0) {
    return std::unexpected(said.substr(0, said.find('\n')));
  }
  return nft_ctx_get_output_buffer(context_);
}

std::string NftIngress::list() {
  return run(fmt::format("list table netdev {}\n", table_)).value_or("");
}

std::expected<void, std::string> NftIngress::replace(const GenerationSpec& spec) {
  if (interfaces_.empty()) {
    return {};
  }
  const std::string ruleset = build_ruleset(spec);
  for (int tries = 0; tries < kTriesToSee; ++tries) {
    const std::optional<std::uint32_t> before = ruleset_.read();
    if (const auto done = run(ruleset); !done) {
      return std::unexpected(
          fmt::format("nft table netdev {} is not in force ({}): the kernel may answer or forward "
                      "packets for VIPs itself",
                      table_,
                      done.error()));
    }
    listing_ = list();
    number_ = ruleset_.read();
    if (!before || !number_ || *number_ == *before + 1) {
      return {};
    }
  }
  // Nobody knows what was listed: in_force() says no, and all this happens again.
  listing_.clear();
  number_.reset();
  return {};
}

bool NftIngress::in_force() {
  if (interfaces_.empty()) {
    return true;
  }
  if (listing_.empty()) {
    return false;
  }
  const std::optional<std::uint32_t> number = ruleset_.read();
  if (number && number == number_) {
    return true;
  }
  if (list() != listing_) {
    return false;
  }
  number_ = number;
  return true;
}

void NftIngress::remove() {
  if (!interfaces_.empty()) {
    [[maybe_unused]] const auto outcome =
        run(fmt::format("add table netdev {0}\ndelete table netdev {0}\n", table_));
  }
}

}  // namespace holdfast::dataplane
