// SPDX-License-Identifier: Apache-2.0
// The verb `trace`: how a packet would be decided, from the configuration alone. No daemon, no
// privilege.
#include "control/cli/options.h"
#include "control/cli/trace.h"
#include "control/cli/verb.h"

#include <charconv>
#include <memory>
#include <string>
#include <system_error>

#include <boost/json/serialize.hpp>

namespace holdfast::control {
namespace {

constexpr const char* kTraceHelp =
    "The packet is a TCP SYN with an MSS of 1460 (IPv6: 1440), or a UDP datagram, of a new flow,\n"
    "and may not be fragmented, if no option says otherwise; every backend is up, but for those\n"
    "of --down. What only a node knows is assumed: ports have the MAC address 02:00:5e:10:00:01,\n"
    "next hops 02:00:5e:20:00:01, frames to backends leave by the second port if there is one, "
    "and\n"
    "`nat` takes the first endpoint of an empty pool. Choices hold for the hash key that `hash` "
    "tells.\n"
    "A drop is explained, with what to do about it; docs/drops.md has all the reasons.\n"
    "Exit codes: 0 the packet is forwarded, 1 it is not, 2 usage, 3 invalid configuration.";

constexpr std::size_t kLongestPacket = 65'535;
constexpr std::size_t kHighestTtl = 255;

struct TraceOptions {
  OfflineOptions offline;
  std::string protocol;
  std::string source;
  std::string destination;
  std::size_t size = 0;
  std::size_t ttl = kTraceTtl;
  std::string flags;  // empty: a SYN's
  bool may_fragment = false;
  Format format = Format::kTable;
};

std::optional<dataplane::FlowKey> read_key(const TraceOptions& options, Context& context) {
  const auto source = parse_endpoint(options.source);
  const auto destination = parse_endpoint(options.destination);
  for (const auto* end : {&source, &destination}) {
    if (!*end) {
      context.fail(kExitUsage, end->error());
      return std::nullopt;
    }
  }
  if (source->address.is_v4() != destination->address.is_v4()) {
    context.fail(kExitUsage, "source and destination must both be IPv4 or both IPv6");
    return std::nullopt;
  }
  return dataplane::FlowKey{.source = source->address,
                            .destination = destination->address,
                            .source_port = dataplane::Be16::from_host(source->port),
                            .destination_port = dataplane::Be16::from_host(destination->port),
                            .protocol = options.protocol == "tcp" ? dataplane::Protocol::kTcp
                                                                  : dataplane::Protocol::kUdp};
}

std::string read_number(const std::string& text, std::size_t most, std::size_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc{} && end == text.data() + text.size();
  return whole && number <= most ? ""
                                 : "'" + text + "' is no number from 0 to " + std::to_string(most);
}

std::optional<TracePacket> read_packet(const TraceOptions& options, Context& context) {
  const auto key = read_key(options, context);
  if (!key) {
    return std::nullopt;
  }
  TracePacket packet{.key = *key,
                     .size = options.size,
                     .ttl = static_cast<std::uint8_t>(options.ttl),
                     .dont_fragment = !options.may_fragment};
  if (!options.flags.empty()) {
    const auto flags = parse_tcp_flags(options.flags);
    if (!flags || key->protocol != dataplane::Protocol::kTcp) {
      context.fail(kExitUsage,
                   "--flags are of tcp: fin, syn, rst, psh, ack and urg, as syn,ack; or none");
      return std::nullopt;
    }
    packet.tcp_flags = *flags;
  }
  return packet;
}

void trace(const TraceOptions& options, Context& context) {
  const auto packet = read_packet(options, context);
  const auto offline = packet ? set_up_offline(options.offline, context) : std::nullopt;
  if (!offline) {
    return;
  }
  const TraceReport report = trace_packet(*offline, *packet);
  if (options.format == Format::kJson) {
    context.out << boost::json::serialize(trace_json(report)) << '\n';
  } else {
    context.out << trace_text(report);
  }
  context.exit_code = report.verdict == dataplane::Verdict::kForward ? kExitOk : kExitFailed;
}

}  // namespace

void add_trace(CLI::App& app, Context& context) {
  auto options = std::make_shared<TraceOptions>();
  Verb verb(app, "trace", "Tell how a packet would be decided, and why");
  add_offline(verb, options->offline);
  verb.required_choice({"protocol", "", "tcp or udp"}, options->protocol, {"tcp", "udp"})
      .required({"source", "SRC:PORT", "the client: 198.51.100.7:40112, [2001:db8::7]:40112"},
                options->source)
      .required({"destination", "DST:PORT", "what it asks for: 203.0.113.10:80"},
                options->destination);
  verb.read({"--size", "BYTES", "length of the IP packet, to 65535; default: of its headers"},
            [options](const std::string& text) {
              return read_number(text, kLongestPacket, options->size);
            })
      .read({"--ttl", "NUMBER", "TTL or hop limit; default " + std::to_string(kTraceTtl)},
            [options](const std::string& text) {
              return read_number(text, kHighestTtl, options->ttl);
            })
      .optional({"--flags", "FLAGS", "of a TCP header, as syn,ack, or none; default: syn"},
                options->flags)
      .flag({"--may-fragment", "", "without IPv4's don't-fragment bit"}, options->may_fragment);
  add_format(verb, options->format);
  verb.footer(kTraceHelp).runs([options, &context] { trace(*options, context); });
}

}  // namespace holdfast::control
