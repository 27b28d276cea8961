// SPDX-License-Identifier: Apache-2.0
// See predecessor.h.
#include "dataplane/process/predecessor.h"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

namespace holdfast::dataplane {
namespace {

constexpr std::chrono::seconds kAnswerLimit{5};
constexpr std::chrono::milliseconds kMeanwhile{1};
// Its workers stop within a burst, but its main thread may be publishing.
constexpr std::chrono::seconds kStopLimit{10};

}  // namespace

Result<Predecessor> Predecessor::ask(const std::string& socket, std::uint64_t startup_id) {
  const std::string path = handover_path(socket);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return fail(ExitCode::kRefused, fmt::format("the path {} is too long", path));
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  Descriptor asker(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!asker.valid() ||
      ::connect(asker.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return fail(ExitCode::kRefused,
                fmt::format("nobody hands over at {}: {}", path, strerror(errno)));
  }
  Predecessor predecessor{HandoverChannel(std::move(asker))};
  if (!predecessor.channel_.peer_is_ours()) {
    return fail(ExitCode::kRefused, fmt::format("{} is a stranger's", path));
  }
  predecessor.channel_.send(HandoverStep::kAsk, startup_id);
  auto answer = predecessor.channel_.receive(kAnswerLimit);
  if (!answer || answer->step != HandoverStep::kOffer) {
    return fail(ExitCode::kRefused,
                answer && answer->step == HandoverStep::kRefusal
                    ? answer->text
                    : fmt::format("no answer at {} within {} s", path, kAnswerLimit.count()));
  }
  predecessor.descriptors_ = std::move(answer->descriptors);
  return predecessor;
}

Result<void> Predecessor::await_stop(const std::function<void()>& meanwhile) {
  channel_.send(HandoverStep::kPrepared);
  const auto deadline = std::chrono::steady_clock::now() + kStopLimit;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto message = channel_.receive(kMeanwhile);
    meanwhile();
    if (message && message->step == HandoverStep::kStopped) {
      return {};
    }
    if (message || channel_.peer_gone()) {
      break;
    }
  }
  return fail(ExitCode::kEnvironment,
              "the running dataplane did not stop for this one, and goes on if it lives");
}

void Predecessor::say_forwards() const { channel_.send(HandoverStep::kForwards); }

}  // namespace holdfast::dataplane
