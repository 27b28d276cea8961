// SPDX-License-Identifier: Apache-2.0
// See check.h.
#include "control/probe/check.h"

#include "dataplane/fnv.h"

#include <algorithm>
#include <string_view>

namespace holdfast::control {
namespace {

// FNV-1a: only spreads phases, so an attacker gains nothing by aiming at it.
class Spread {
 public:
  void add(std::string_view bytes) {
    constexpr std::string_view kEnd = "\xff";  // no text has it
    value_ = dataplane::fnv1a(kEnd, dataplane::fnv1a(bytes, value_));
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = dataplane::kFnvStart;
};

std::uint16_t port_of(const config::Service& service, const config::Backend& backend) {
  if (service.check.port != 0) {
    return service.check.port;
  }
  return backend.port != 0 ? backend.port : service.ports.front().first;
}

}  // namespace

CheckSpec build_check(const config::Service& service, const config::Backend& backend) {
  const config::Check& check = service.check;
  CheckSpec spec{.type = check.type,
                 .address = backend.address,
                 .port = port_of(service, backend),
                 .interval = check.interval,
                 .timeout = check.timeout,
                 .method = {},
                 .path = {},
                 .host = {},
                 .status = {}};
  if (check.type == config::CheckType::kHttp) {
    spec.method = check.method;
    spec.path = check.path;
    spec.host = check.host;
    for (const config::StatusRange& range : check.status) {
      spec.status.emplace_back(range.first, range.last);
    }
  }
  return spec;
}

std::chrono::nanoseconds phase_of(const CheckSpec& check) {
  Spread spread;
  spread.add({reinterpret_cast<const char*>(check.address.bytes.data()), 16});
  spread.add(std::to_string(check.port) + (check.type == config::CheckType::kHttp ? "h" : "t"));
  spread.add(check.host);
  spread.add(check.path);
  // The high bits are the mixed ones.
  const auto interval = std::chrono::nanoseconds(check.interval).count();
  return std::chrono::nanoseconds(static_cast<std::int64_t>(spread.value() >> 11U) %
                                  std::max<std::int64_t>(interval, 1));
}

std::string build_http_request(const CheckSpec& check) {
  std::string host = check.host;
  if (host.empty()) {
    host = check.address.v6 ? "[" + check.address.text() + "]" : check.address.text();
    if (check.port != 80) {
      host += ":" + std::to_string(check.port);
    }
  }
  return check.method + " " + check.path + " HTTP/1.1\r\nHost: " + host +
         "\r\nUser-Agent: holdfast\r\nAccept: */*\r\nConnection: close\r\n\r\n";
}

bool accepts_status(const CheckSpec& check, int status) {
  return std::ranges::any_of(check.status, [status](const auto& range) {
    return status >= range.first && status <= range.second;
  });
}

}  // namespace holdfast::control
