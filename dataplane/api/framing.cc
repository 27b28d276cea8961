// SPDX-License-Identifier: Apache-2.0
// See framing.h.
#include "dataplane/api/framing.h"

#include <google/protobuf/message_lite.h>

namespace holdfast::seam {
namespace {

void put_length(std::string& out, std::size_t length) {
  for (const unsigned shift : {24U, 16U, 8U, 0U}) {
    out.push_back(static_cast<char>(static_cast<std::uint8_t>(length >> shift)));
  }
}

std::size_t get_length(std::string_view bytes) {
  std::size_t length = 0;
  for (const char byte : bytes.substr(0, kLengthBytes)) {
    length = (length << 8U) | static_cast<std::uint8_t>(byte);
  }
  return length;
}

}  // namespace

std::string frame(std::string_view payload) {
  std::string out;
  out.reserve(kLengthBytes + payload.size());
  put_length(out, payload.size());
  out.append(payload);
  return out;
}

std::expected<std::string, std::string> frame(const google::protobuf::MessageLite& message) {
  const std::size_t size = message.ByteSizeLong();
  if (size > kMaxMessageBytes) {
    return std::unexpected("message of " + std::to_string(size) +
                           " bytes is longer than the seam's " + std::to_string(kMaxMessageBytes));
  }
  std::string out;
  out.reserve(kLengthBytes + size);
  put_length(out, size);
  if (!message.AppendToString(&out)) {
    return std::unexpected("message cannot be serialised");
  }
  return out;
}

void FrameDecoder::feed(std::string_view bytes) {
  if (begin_ > 0 && begin_ >= buffer_.size() / 2) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  buffer_.append(bytes);
}

std::expected<std::optional<std::string>, std::string> FrameDecoder::next() {
  const std::string_view waiting = std::string_view(buffer_).substr(begin_);
  if (waiting.size() < kLengthBytes) {
    return std::nullopt;
  }
  const std::size_t length = get_length(waiting);
  if (length > limit_) {
    return std::unexpected("peer announced a message of " + std::to_string(length) +
                           " bytes; the limit is " + std::to_string(limit_));
  }
  if (waiting.size() - kLengthBytes < length) {
    return std::nullopt;
  }
  std::string message(waiting.substr(kLengthBytes, length));
  begin_ += kLengthBytes + length;
  if (begin_ == buffer_.size()) {
    buffer_.clear();
    begin_ = 0;
  }
  return message;
}

}  // namespace holdfast::seam
