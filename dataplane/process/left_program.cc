// SPDX-License-Identifier: Apache-2.0
// See left_program.h.
#include "dataplane/process/left_program.h"

#include "dataplane/process/descriptor.h"

#include <cerrno>
#include <cstring>
#include <string_view>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fmt/format.h>
#include <linux/if_link.h>
#include <net/if.h>

namespace holdfast::dataplane {
namespace {

constexpr std::string_view kDefaultProgram = "xsk_def_prog";

// 0: not attached in one way alone.
unsigned flags_of(std::uint8_t mode) {
  switch (mode) {
    case XDP_ATTACHED_DRV:
      return XDP_FLAGS_DRV_MODE;
    case XDP_ATTACHED_SKB:
      return XDP_FLAGS_SKB_MODE;
    case XDP_ATTACHED_HW:
      return XDP_FLAGS_HW_MODE;
    default:
      return 0;
  }
}

bool is_default_program(std::uint32_t id) {
  const Descriptor program(bpf_prog_get_fd_by_id(id));
  bpf_prog_info info{};
  std::uint32_t size = sizeof(info);
  return program.valid() && bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0 &&
         std::string_view(info.name, ::strnlen(info.name, sizeof(info.name))) == kDefaultProgram;
}

}  // namespace

Result<bool> detach_left_program(const std::string& interface) {
  const int index = static_cast<int>(::if_nametoindex(interface.c_str()));
  bpf_xdp_query_opts attached{};
  attached.sz = sizeof(attached);
  if (index == 0 || bpf_xdp_query(index, 0, &attached) != 0 || attached.prog_id == 0) {
    return false;
  }
  const unsigned flags = flags_of(attached.attach_mode);
  if (flags == 0 || !is_default_program(attached.prog_id)) {
    return false;
  }
  if (bpf_xdp_detach(index, flags, nullptr) != 0) {
    return fail(ExitCode::kEnvironment,
                fmt::format("cannot take away the XDP program that an earlier process left on {}: "
                            "{}: `ip link set dev {} xdp off`",
                            interface,
                            strerror(errno),
                            interface));
  }
  return true;
}

}  // namespace holdfast::dataplane
