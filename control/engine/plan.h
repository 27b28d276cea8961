// SPDX-License-Identifier: Apache-2.0
// What another configuration would change in what is forwarded, as `holdfast plan` tells it. Pure.
#pragma once

#include "dataplane/hash.h"
#include "dataplane/spec.h"

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace holdfast::control {

// Flows of a member; nullopt: nobody can count them now.
using MemberFlowsOf =
    std::function<std::optional<std::uint64_t>(std::string_view service, std::string_view backend)>;

// One sentence each, services in the order of their names. Empty: nothing changes.
std::vector<std::string> planned_changes(const dataplane::GenerationSpec& running,
                                         const dataplane::GenerationSpec& wanted,
                                         const MemberFlowsOf& flows_of);

// "service web: 655 of 65537 slots moved, least possible 655".
std::string slots_line(std::string_view service,
                       std::uint32_t moved,
                       std::uint32_t slots,
                       std::uint32_t least);

// Such a line for each service whose slots move; builds both generations, which takes as long as it
// takes the dataplane. The error is a sentence, mostly why the dataplane would refuse `wanted`.
std::expected<std::vector<std::string>, std::string> planned_slots(
    const dataplane::GenerationSpec& running,
    dataplane::GenerationSpec wanted,
    const dataplane::HashKey& key);

}  // namespace holdfast::control
