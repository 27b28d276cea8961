// SPDX-License-Identifier: Apache-2.0
// See ruleset_number.h.
#include "dataplane/process/ruleset_number.h"

#include <array>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>

namespace holdfast::dataplane {
namespace {

constexpr std::size_t kAnswerBytes = 1024;  // the number, a process id and a process name

int take_number(const nlattr* attribute, void* number) {
  if (mnl_attr_get_type(attribute) == NFTA_GEN_ID) {
    *static_cast<std::optional<std::uint32_t>*>(number) = ntohl(mnl_attr_get_u32(attribute));
  }
  return MNL_CB_OK;
}

int take_answer(const nlmsghdr* message, void* number) {
  return mnl_attr_parse(message, sizeof(nfgenmsg), take_number, number);
}

}  // namespace

void RulesetNumber::CloseSocket::operator()(mnl_socket* socket) const { mnl_socket_close(socket); }

std::optional<std::uint32_t> RulesetNumber::read() {
  if (!socket_) {
    socket_.reset(mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC));
    // The kernel answers while it takes the question; the limit is for what nobody foresees.
    const timeval limit{.tv_sec = 0, .tv_usec = 100'000};
    if (!socket_ || mnl_socket_bind(socket_.get(), 0, MNL_SOCKET_AUTOPID) < 0 ||
        ::setsockopt(
            mnl_socket_get_fd(socket_.get()), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) !=
            0) {
      socket_.reset();
      return std::nullopt;
    }
  }
  std::array<char, kAnswerBytes> buffer{};
  nlmsghdr* question = mnl_nlmsg_put_header(buffer.data());
  question->nlmsg_type = (NFNL_SUBSYS_NFTABLES << 8U) | NFT_MSG_GETGEN;
  question->nlmsg_flags = NLM_F_REQUEST;
  question->nlmsg_seq = ++sequence_;
  auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(question, sizeof(nfgenmsg)));
  header->version = NFNETLINK_V0;
  std::optional<std::uint32_t> number;
  if (mnl_socket_sendto(socket_.get(), question, question->nlmsg_len) < 0) {
    return std::nullopt;
  }
  const ssize_t size = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
  if (size <= 0 || mnl_cb_run(buffer.data(),
                              static_cast<std::size_t>(size),
                              sequence_,
                              mnl_socket_get_portid(socket_.get()),
                              take_answer,
                              &number) < 0) {
    socket_.reset();  // a late answer must not meet the next question
    return std::nullopt;
  }
  return number;
}

}  // namespace holdfast::dataplane
