// SPDX-License-Identifier: Apache-2.0
// The seam's framing over whole, cut, joined and hostile streams.
#include "dataplane/api/framing.h"

#include "dataplane.pb.h"

#include <string>

#include <gtest/gtest.h>

namespace holdfast::seam {
namespace {

TEST(Framing, PutsBigEndianLengthBeforeThePayload) {
  EXPECT_EQ(frame(std::string_view("abc")), std::string("\0\0\0\3abc", 7));
}

TEST(Framing, ReturnsEachMessageOfAStreamCutAtEveryByte) {
  const std::string stream = frame(std::string_view("first")) + frame(std::string_view("")) +
                             frame(std::string_view("third"));
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    FrameDecoder decoder;
    std::vector<std::string> seen;
    for (const std::string& piece : {stream.substr(0, cut), stream.substr(cut)}) {
      decoder.feed(piece);
      while (true) {
        auto message = decoder.next();
        ASSERT_TRUE(message.has_value());
        if (!message->has_value()) {
          break;
        }
        seen.push_back(**message);
      }
    }
    EXPECT_EQ(seen, (std::vector<std::string>{"first", "", "third"})) << "cut at " << cut;
    EXPECT_EQ(decoder.pending(), 0U);
  }
}

TEST(Framing, RefusesALengthAboveTheCapBeforeItsBytesCome) {
  FrameDecoder decoder;
  decoder.feed(std::string("\0\x80\0\1", 4));  // 8 MiB + 1
  EXPECT_FALSE(decoder.next().has_value());
  FrameDecoder small(16);
  small.feed(std::string("\0\0\0\x11", 4));
  EXPECT_FALSE(small.next().has_value());
}

TEST(Framing, KeepsMemoryAtWhatCameAndNotAtWhatWasAnnounced) {
  FrameDecoder decoder;
  decoder.feed(std::string("\0\x80\0\0x", 5));  // announces 8 MiB, sends one byte
  const auto message = decoder.next();
  ASSERT_TRUE(message.has_value());
  EXPECT_FALSE(message->has_value());
  EXPECT_EQ(decoder.pending(), 5U);
}

TEST(Framing, RefusesToSendAMessageAboveTheCap) {
  Reply reply;
  reply.mutable_error()->set_text(std::string(kMaxMessageBytes, 'x'));
  EXPECT_FALSE(frame(reply).has_value());
}

}  // namespace
}  // namespace holdfast::seam
