// SPDX-License-Identifier: Apache-2.0
// The reader of HTTP answers: good, split, and hostile ones.
#include "control/probe/http_answer.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace holdfast::control {
namespace {

using State = HttpAnswer::State;

HttpAnswer read_answer(const std::string& bytes) {
  HttpAnswer answer;
  answer.feed(bytes);
  return answer;
}

TEST(HttpAnswer, ReadsTheStatusOfAWholeHead) {
  const HttpAnswer answer = read_answer("HTTP/1.1 204 No Content\r\nServer: x\r\nEmpty:\r\n\r\n");
  EXPECT_EQ(answer.state(), State::kWhole);
  EXPECT_EQ(answer.status(), 204);
}

TEST(HttpAnswer, AcceptsBareLineFeedsMissingPhrasesAndBothMinorVersions) {
  EXPECT_EQ(read_answer("HTTP/1.0 200 OK\n\n").state(), State::kWhole);
  EXPECT_EQ(read_answer("HTTP/1.1 200\r\n\r\n").state(), State::kWhole);
  EXPECT_EQ(read_answer("HTTP/1.1 200 \r\n\r\n").state(), State::kWhole);
  EXPECT_EQ(read_answer("HTTP/1.1 200 \xc3\xa9t\xc3\xa9\r\n\r\n").state(), State::kWhole);
}

TEST(HttpAnswer, GivesTheSameAnswerHoweverTheBytesAreCut) {
  const std::string bytes = "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n\r\n";
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    HttpAnswer answer;
    EXPECT_EQ(answer.feed(bytes.substr(0, cut)), State::kReading) << cut;
    EXPECT_EQ(answer.feed(bytes.substr(cut)), State::kWhole) << cut;
    EXPECT_EQ(answer.status(), 503);
  }
}

TEST(HttpAnswer, PassesOverInterimAnswersAndIgnoresTheBody) {
  const HttpAnswer answer = read_answer(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 "
      "OK\r\n\r\nHTTP/1.1 500 no");
  EXPECT_EQ(answer.state(), State::kWhole);
  EXPECT_EQ(answer.status(), 200);
}

TEST(HttpAnswer, CallsEveryMalformedHeadGarbage) {
  const std::vector<std::string> heads = {
      "SSH-2.0-OpenSSH\r\n",
      "HTTP/2.0 200 OK\r\n",
      "HTTP/1.1  200 OK\r\n",
      "HTTP/1.1 -200 OK\r\n",
      "HTTP/1.1 20 OK\r\n",
      "HTTP/1.1 099 OK\r\n",
      "HTTP/1.1 2000 OK\r\n",
      "HTTP/1.1 2x0 OK\r\n",
      "HTTP/1.1 200OK\r\n",
      "HTTP/1.1 101 Switching\r\n\r\n",
      "HTTP/1.1 200 OK\rX",
      std::string("HTTP/1.1 200 O\0K\r\n", 18),
      "HTTP/1.1 200 OK\r\n folded: x\r\n",
      "HTTP/1.1 200 OK\r\nno colon\r\n",
      "HTTP/1.1 200 OK\r\n: no name\r\n",
      "HTTP/1.1 200 OK\r\nname : x\r\n",
      std::string("HTTP/1.1 200 OK\r\nname: \0\r\n", 26),
      "HTTP/1.1 200 OK\r\nname: x\rmore\r\n",
      "\r\nHTTP/1.1 200 OK\r\n\r\n",
  };
  for (const std::string& head : heads) {
    EXPECT_EQ(read_answer(head).state(), State::kGarbage) << head;
  }
}

TEST(HttpAnswer, CallsContradictingLengthsGarbage) {
  for (const std::string fields : {"Content-Length: -2\r\n",
                                   "Content-Length: +2\r\n",
                                   "Content-Length: 0x2\r\n",
                                   "Content-Length: 1 2\r\n",
                                   "Content-Length:\r\n",
                                   "Content-Length: \n",
                                   "content-length: 99999999999999999999\r\n",
                                   "Content-Length: 2\r\nServer: x\r\nCONTENT-LENGTH: 3\r\n"}) {
    EXPECT_EQ(read_answer("HTTP/1.1 200 OK\r\n" + fields + "\r\n").state(), State::kGarbage)
        << fields;
  }
}

TEST(HttpAnswer, TakesOneLengthAlsoWhenItIsRepeated) {
  for (const std::string fields : {"Content-Length: 2\r\n",
                                   "Content-Length:0\n",
                                   "Content-Length: \t2 \r\nContent-Length: 2\r\n",
                                   "Content-Lengthy: -2\r\nContent-Lengt: x\r\n"}) {
    EXPECT_EQ(read_answer("HTTP/1.1 200 OK\r\n" + fields + "\r\n").state(), State::kWhole)
        << fields;
  }
  EXPECT_EQ(read_answer("HTTP/1.1 103 Early\r\nContent-Length: 1\r\n\r\n"
                        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
                .state(),
            State::kWhole);
}

TEST(HttpAnswer, StopsAtTheByteAndFieldLimits) {
  HttpAnswer endless;
  endless.feed("HTTP/1.1 200 OK\r\nname: ");
  const std::string piece(1000, 'x');
  std::size_t pieces = 0;
  while (endless.feed(piece) == State::kReading) {
    ASSERT_LT(++pieces, 66U);
  }
  EXPECT_EQ(endless.state(), State::kGarbage);
  HttpAnswer fields;
  fields.feed("HTTP/1.1 200 OK\r\n");
  for (std::size_t i = 0; i < HttpAnswer::kMaxFields; ++i) {
    ASSERT_EQ(fields.feed("a:b\r\n"), State::kReading);
  }
  EXPECT_EQ(fields.feed("a:b\r\n"), State::kGarbage);
  std::string interim;
  while (interim.size() <= HttpAnswer::kMaxBytes) {
    interim += "HTTP/1.1 100 Continue\r\n\r\n";
  }
  EXPECT_EQ(read_answer(interim).state(), State::kGarbage);
}

}  // namespace
}  // namespace holdfast::control
