// SPDX-License-Identifier: Apache-2.0
// Capture files as `holdfast replay` reads them: pcap (microseconds or nanoseconds, either byte
// order) and pcapng (sections, several interfaces with their own link types and clocks), after
// draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng. Read from a stream, record by record, with
// bounded memory; the bytes may be anything. libpcap is not used because it refuses a pcapng whose
// interfaces differ in link type or snapshot length. A damaged record is handed out with what is
// left of it, and reading goes on as long as the next one can be found. Blocking; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <istream>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace holdfast::control {

// Bytes of one record, the bound that tcpdump and Wireshark keep too. Of a record that claims more
// the bytes are skipped.
inline constexpr std::uint32_t kMaxCaptured = 262'144;

struct CaptureTime {
  std::uint64_t seconds = 0;      // since the capture's epoch
  std::uint32_t nanoseconds = 0;  // below 10^9
  constexpr auto operator<=>(const CaptureTime&) const = default;
};

// LINKTYPE_ number of the tcpdump.org registry.
using LinkType = std::uint32_t;
inline constexpr LinkType kUnknownLink = 0xffffffff;  // of an interface that is not described

struct CaptureRecord {
  CaptureTime time;
  LinkType link = 0;
  std::uint32_t original_length = 0;  // on the wire; never less than bytes.size()
  std::vector<std::byte> bytes;       // what was captured
  bool cut = false;                   // the file lacks bytes that the record claims to have
  std::string damage = {};            // what the file has wrong here, one sentence; empty: nothing
};

class CaptureReader {
 public:
  virtual ~CaptureReader() = default;
  CaptureReader(const CaptureReader&) = delete;
  CaptureReader& operator=(const CaptureReader&) = delete;

  // The next record; nullopt at the end of the file, and behind a damaged record after which no
  // other can be found. The error is one sentence that says what is wrong at which byte, where no
  // record has begun; after it nothing more can be read. A record has begun when its header
  // (pcapng: the fields before its bytes) is there.
  virtual std::expected<std::optional<CaptureRecord>, std::string> next() = 0;
  // True when times may be finer than a microsecond. Always with pcapng: a later interface may be.
  [[nodiscard]] virtual bool has_nanoseconds() const = 0;

 protected:
  CaptureReader() = default;
};

// Tells the format by the first bytes. The error says why this is no capture. `in` must outlive the
// reader.
std::expected<std::unique_ptr<CaptureReader>, std::string> open_capture(std::istream& in);

}  // namespace holdfast::control
