// SPDX-License-Identifier: Apache-2.0
// How messages stand on the seam's stream: a 4-byte big-endian length, then that many bytes. Used
// by both sides and by the blocking client, each on its own thread; pure, no socket here.
//
// The peer may be hostile: a length above the cap breaks the stream at once, and an announced
// length reserves nothing, so memory follows the bytes that really came.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace google::protobuf {
class MessageLite;
}

namespace holdfast::seam {

inline constexpr std::size_t kMaxMessageBytes = 8U << 20U;
inline constexpr std::size_t kLengthBytes = 4;

// The payload behind its length. Requires: payload.size() <= kMaxMessageBytes.
std::string frame(std::string_view payload);
// The serialised message behind its length, or why it cannot be sent.
std::expected<std::string, std::string> frame(const google::protobuf::MessageLite& message);

// Cuts a stream of bytes into messages. After an error the stream cannot be read further.
class FrameDecoder {
 public:
  // `limit` is the longest message that is accepted.
  explicit FrameDecoder(std::size_t limit = kMaxMessageBytes) : limit_(limit) {}

  // Takes bytes as they came, in pieces of any size.
  void feed(std::string_view bytes);

  // The next whole message; nullopt when more bytes are needed; an error when the announced length
  // is above the limit. A caller that drains this after each feed() holds at most one message and
  // one piece.
  std::expected<std::optional<std::string>, std::string> next();

  // Bytes that wait for the rest of their message.
  [[nodiscard]] std::size_t pending() const { return buffer_.size() - begin_; }

 private:
  std::size_t limit_;
  std::string buffer_;
  std::size_t begin_ = 0;  // consumed bytes at the front of buffer_
};

}  // namespace holdfast::seam
